"""Running an exported network with ONNX Runtime, and refusing what is none."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from checkpoints import SIZE, inference_checkpoint, ready
from exported import rewrite, write_exported
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from maskcls.cores import usable_cores
from maskcls.errors import UserError
from maskcls.models.onnx_file import read_sealed, write_sealed
from maskcls.models.onnx_network import _choose_device, open_onnx, read_network

IMAGES = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
CUDA = ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported network. Tests must not change the file."""
    return write_exported(tmp_path_factory.mktemp("exported") / "model.onnx", card="# a card")


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        open_onnx(path, **{"device": "cpu", "precision": None, "threads": 1, **settings})
    return str(caught.value).removeprefix(f"ckpt={path}: ")


def test_its_logits_and_probabilities_are_those_of_the_checkpoint(path: Path) -> None:
    network = read_network(path, "cpu", 1)
    expected = ready(inference_checkpoint()).network.logits(IMAGES)
    found = network.outputs(IMAGES)
    for logits in (found.logits, network.logits(IMAGES)):
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    scaled = np.exp(expected / inference_checkpoint().document.temperature)
    np.testing.assert_allclose(found.probabilities, scaled / scaled.sum(axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_batch_has_any_number_of_images(count: int, path: Path) -> None:
    network = read_network(path, "cpu", 1)
    np.testing.assert_allclose(network.logits(IMAGES[:count]), network.logits(IMAGES)[:count], rtol=1e-4, atol=1e-5)


def test_it_is_opened_with_what_it_says_of_itself(path: Path) -> None:
    opened = open_onnx(path, device="auto", precision="auto", threads=2)
    assert (opened.path, opened.document) == (path, inference_checkpoint().document)
    assert (opened.network.device, opened.network.precision) == ("cpu", "float32")
    assert opened.about == "device cpu, 2 CPU threads, precision float32 (as exported), ONNX Runtime"
    by_default = open_onnx(path, device="cpu", precision=None, threads="auto")
    assert f", {usable_cores()} CPU thread" in by_default.about


def test_a_batch_that_does_not_fit_is_explained(path: Path) -> None:
    network = read_network(path, "cpu", 1)
    assert str(network.out_of_memory("batch_size", 32)) == "out of memory at batch_size=32; batch_size=16 takes less"
    assert str(network.out_of_memory("batch_size", 1)) == "out of memory at batch_size=1"


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "int8"])
def test_a_precision_that_it_does_not_have_is_refused(precision: str, path: Path) -> None:
    message = f"precision={precision}: {path} computes in float32; a checkpoint can compute in others"
    assert refusal(path, precision=precision) == message


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_onnx_runtime_does_not_have_is_refused(device: str, path: Path) -> None:
    assert refusal(path, device=device).startswith(
        f"device={device}: the installed ONNX Runtime does not compute there"
    )


@pytest.mark.parametrize(
    ("name", "device"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:3", "cuda:3"), ("cpu", "cpu")]
)
def test_a_gpu_is_used_if_onnx_runtime_has_it(name: str, device: str) -> None:
    assert _choose_device(name, CUDA) == device


def test_a_gpu_whose_libraries_are_missing_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: CUDA)
    real = onnxruntime.InferenceSession

    def on_cpu(content: bytes, options: Any, providers: list[Any]) -> Any:
        assert providers == [("CUDAExecutionProvider", {"device_id": "1"}), "CPUExecutionProvider"]
        return real(content, options, providers=providers[-1:])

    monkeypatch.setattr(onnxruntime, "InferenceSession", on_cpu)
    message = "device=cuda:1: ONNX Runtime cannot use the GPU; device=cpu computes without it"
    assert refusal(path, device="cuda:1") == message


def test_a_missing_onnx_runtime_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert re.fullmatch(r"onnxruntime cannot be imported \(.*\): pip install onnxruntime", refusal(path))


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 4}, "has format version 4; this version of maskcls reads 3"),
        ({"classes": ["a", "b", "c"]}, "its graph does not fit what the file says of it"),
        ({"input_size": 24}, "its graph does not fit what the file says of it"),
        ({"temperature": 0}, "temperature=0: expected a number, above 0"),
        ({"surprise": 1}, "surprise is not a key"),
    ],
)
def test_a_document_that_makes_no_sense_is_refused(
    changes: dict[str, Any], message: str, path: Path, tmp_path: Path
) -> None:
    found = refusal(rewrite(tmp_path / "model.onnx", path, changes))
    assert found.startswith(message)
    assert found.isprintable()


@pytest.mark.hostile
@pytest.mark.parametrize("text", ["", "[]", "no JSON\n\x1b[31m"])
def test_a_document_that_is_none_is_refused(text: str, path: Path, tmp_path: Path) -> None:
    found = refusal(rewrite(tmp_path / "model.onnx", path, text=text))
    assert found in (
        "a damaged file: its JSON document cannot be read",
        "has format version None; this version of maskcls reads 3",
    )


@pytest.mark.hostile
def test_another_graph_with_a_digest_is_refused(path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_sealed(tmp_path / "a.onnx", b"no graph")
    assert refusal(tmp_path / "a.onnx").startswith("ONNX Runtime does not take it: ")
    model = onnx.load_from_string(read_sealed(path))
    del model.metadata_props[:]
    write_sealed(tmp_path / "b.onnx", model.SerializeToString())
    assert refusal(tmp_path / "b.onnx") == "a damaged file: its JSON document cannot be read"
    renamed = onnx.load_from_string(read_sealed(path))
    renamed.graph.node[0].op_type = "Surprise"
    del renamed.metadata_props[-1]
    write_sealed(tmp_path / "c.onnx", renamed.SerializeToString())
    assert refusal(tmp_path / "c.onnx").startswith("ONNX Runtime does not take it: ")
    assert capfd.readouterr().err == ""


@pytest.mark.hostile
def test_a_number_format_that_there_is_not_is_refused(path: Path, tmp_path: Path) -> None:
    model = onnx.load_from_string(read_sealed(path))
    del model.metadata_props[-1]
    model.metadata_props.add(key="precision", value="\x1b[31m")
    write_sealed(tmp_path / "model.onnx", model.SerializeToString())
    assert refusal(tmp_path / "model.onnx") == "its graph does not fit what the file says of it"


@pytest.mark.hostile
def test_a_damaged_file_is_refused(path: Path, tmp_path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model.onnx").write_bytes(content)
    assert refusal(tmp_path / "model.onnx") == "a damaged file: the digest does not match its content"


def test_memory_that_runs_out_while_it_is_loaded_is_not_taken_for_a_bad_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeException("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception: std::bad_alloc")

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    with pytest.raises(RuntimeException) as caught:
        read_network(path, "cpu", 1)
    assert caught.value is error


def test_torch_is_not_imported(path: Path) -> None:
    code = (
        "import sys, maskcls, numpy as np; "
        f"p = maskcls.load({str(path)!r}, batch_size=2); "
        "print(p.predict(np.zeros((20, 30, 3), np.uint8)).label, {'torch', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"With\w*Mask set\(\)\n", done.stdout)


def test_a_document_without_a_positive_class_is_read(tmp_path: Path) -> None:
    checkpoint = inference_checkpoint()
    document = dataclasses.replace(checkpoint.document, positive_class=None, resize="pad")
    path = write_exported(tmp_path / "model.onnx", dataclasses.replace(checkpoint, document=document))
    assert read_network(path, "cpu", 1).document == document
