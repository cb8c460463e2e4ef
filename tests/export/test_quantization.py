"""Files in int8: what they hold, and how they are measured."""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from checkpoints import SIZE, inference_checkpoint
from exported import write_exported

from maskcls.config import MyCNNConfig
from maskcls.errors import UserError
from maskcls.export import quantization
from maskcls.export.quantization import BATCHES, compare_precisions, write_int8
from maskcls.export.sample import Sample, noise_images
from maskcls.models.architecture import build_model
from maskcls.models.checkpoint import Checkpoint
from maskcls.models.onnx_file import read_sealed
from maskcls.models.onnx_network import open_onnx, read_network

IMAGES = noise_images(SIZE, 20)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network in float32 and in int8. Tests must not change the files."""
    folder = tmp_path_factory.mktemp("files")
    write_exported(folder / "model.onnx", card="# a card")
    write_int8(folder / "int8.onnx", folder / "model.onnx", IMAGES)
    return folder / "model.onnx", folder / "int8.onnx"


def test_its_answers_are_nearly_those_in_float32(files: tuple[Path, Path]) -> None:
    one, other = (read_network(path, "cpu", 1).outputs(IMAGES).probabilities for path in files)
    assert 0 < np.abs(one - other).max() < 0.05


def test_it_holds_8_bit_weights_and_says_so(files: tuple[Path, Path]) -> None:
    before, after = (onnx.load_from_string(read_sealed(path)) for path in files)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in after.graph.node}
    weights = {value.data_type for value in after.graph.initializer if len(value.dims) > 1}
    assert onnx.TensorProto.INT8 in weights
    texts = [{member.key: member.value for member in model.metadata_props} for model in (before, after)]
    assert texts[1].pop("precision") == "int8"
    assert texts[0].pop("sha256") != texts[1].pop("sha256")
    assert texts[0] == texts[1]


def test_it_is_opened_as_what_it_is(files: tuple[Path, Path]) -> None:
    opened = open_onnx(files[1], device="cpu", precision=None, threads=1)
    assert opened.network.precision == "int8"
    assert "precision int8 (as exported)" in opened.about
    assert opened.document == inference_checkpoint().document
    with pytest.raises(UserError, match=r"^precision=float32: .*int8\.onnx computes in int8"):
        open_onnx(files[1], device="cpu", precision="float32", threads=1)


def test_it_is_smaller_where_there_are_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MyCNNConfig("mycnn", 32, 0.0)
    network = build_model(model, 2, 256, pretrained=False)
    document = dataclasses.replace(inference_checkpoint().document, model=model, input_size=256)
    source = write_exported(tmp_path / "model.onnx", Checkpoint(network.state_dict(), document))
    write_int8(tmp_path / "int8.onnx", source, noise_images(256, 3))
    assert (tmp_path / "int8.onnx").stat().st_size < 0.35 * source.stat().st_size


def test_writing_it_prints_nothing_and_leaves_nothing_behind(
    files: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = logging.root.manager.disable
    (tmp_path / "out").mkdir()
    write_int8(tmp_path / "out/int8.onnx", files[0], IMAGES)
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out/int8.onnx"]
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []
    assert logging.root.manager.disable == before


def test_no_more_images_are_in_memory_at_a_time_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "AT_A_TIME", 8)
    reader = quantization._Reader(IMAGES)

    def given() -> Iterator[int]:
        while (part := reader.get_next()) is not None:
            yield len(part["images"])

    assert len(reader) == 3
    assert list(given()) == [8, 8, 4]
    reader.set_range(1, 2)
    assert list(given()) == [8]
    assert list(given()) == []


def test_two_files_are_compared_on_the_same_images(files: tuple[Path, Path]) -> None:
    one, other = (read_network(path, "cpu", 1).outputs(IMAGES).probabilities for path in files)
    labels = one.argmax(axis=1)
    labels[:5] = 1 - labels[:5]
    found = compare_precisions(*files, Sample(IMAGES, labels), 8)
    assert found.images == 20
    assert found.float32.accuracy == 0.75
    assert found.int8.accuracy == pytest.approx((other.argmax(axis=1) == labels).mean())
    assert found.decisions == (one.argmax(axis=1) != other.argmax(axis=1)).sum()
    assert found.difference == pytest.approx(np.abs(one - other).max(), abs=1e-4)
    assert (found.float32.bytes, found.int8.bytes) == tuple(path.stat().st_size for path in files)
    assert all(len(one.milliseconds) == len(BATCHES) for one in (found.float32, found.int8))
    assert all(0 < taken < 1000 for taken in (*found.float32.milliseconds, *found.int8.milliseconds))
