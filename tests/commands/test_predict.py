"""Predictions for image files: the same as evaluation's, and nothing invented for what cannot be read."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from configuration import config_of, small, start_run
from runs import rewrite
from tables import read_table

import maskcls
from maskcls.commands.predict import predict
from maskcls.commands.train import train
from maskcls.data.decode import Box, decode_image
from maskcls.data.faces import Face
from maskcls.errors import MachineError, UserError
from maskcls.models.checkpoint import MAX_BATCH_SIZE
from maskcls.run import BEST, CHECKPOINTS


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a training, which no test changes."""
    folder = tmp_path_factory.mktemp("trained")
    config = small(dataset, f"data.cache_dir={folder / 'cache'}")
    train(config, start_run(folder / "run", config))
    return folder / "run"


def predicted(tmp_path: Path, *overrides: str) -> tuple[list[dict[str, str]], dict[str, Any]]:
    config = config_of("predict", "device=cpu", *overrides)
    run = start_run(tmp_path / f"prediction{len(list(tmp_path.iterdir()))}", config, "predict")
    predict(config, run)
    return read_table(run.directory / "predictions.csv"), run.record


def test_a_folder_gets_the_probabilities_of_its_evaluation(trained: Path, dataset: Path, tmp_path: Path) -> None:
    rows, record = predicted(tmp_path, f"ckpt={trained}", f"source={dataset / 'Test'}", "batch_size=128")
    table = read_table(trained / "evaluation/test/predictions.csv")
    evaluated = {str(dataset / row["path"]): row for row in table}
    assert record["images"] == len(rows) == len(evaluated) == 12
    assert list(rows[0]) == ["path", "prediction", "probability_WithMask", "probability_WithoutMask"]
    for row in rows:
        assert row["prediction"] == evaluated[row["path"]]["prediction"]
        for name in ("probability_WithMask", "probability_WithoutMask"):
            assert float(row[name]) == pytest.approx(float(evaluated[row["path"]][name]), abs=1e-6)


def test_the_batch_size_changes_no_answer(trained: Path, dataset: Path, tmp_path: Path) -> None:
    one, other = (
        predicted(tmp_path, f"ckpt={trained}", f"source={dataset / 'Test'}", f"batch_size={size}")[0] for size in (1, 5)
    )
    assert [row["path"] for row in one] == [row["path"] for row in other]
    found, expected = ([float(row["probability_WithMask"]) for row in rows] for rows in (one, other))
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_table_is_shown(trained: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rows, _ = predicted(tmp_path, f"ckpt={trained}", f"source={dataset / 'Test/WithMask/0.png'}")
    shown = next(line for line in caplog.messages if "0.png" in line and "%" in line)
    assert rows[0]["prediction"] in shown
    assert f"{float(rows[0]['probability_WithMask']):.2%}" in shown
    assert any(line.startswith("1 images predicted, 0 unreadable; the table is ") for line in caplog.messages)


def test_a_long_path_is_shortened_where_it_is_shown_only(
    trained: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / ("a" * 100)
    folder.mkdir()
    image = Path(shutil.copy(dataset / "Test/WithMask/0.png", folder / "face.png"))
    rows, _ = predicted(tmp_path, f"ckpt={trained}", f"source={image}")
    assert rows[0]["path"] == str(image)
    (shown,) = [line for line in caplog.messages if line.startswith("...")]
    assert shown.split("  ")[0] == f"...{str(image)[-67:]}"


def test_the_threads_are_those_asked_for(trained: Path, dataset: Path, tmp_path: Path) -> None:
    predicted(tmp_path, f"ckpt={trained}", f"source={dataset / 'Test/WithMask/0.png'}", "threads=2")
    assert torch.get_num_threads() == 2


def test_the_last_checkpoint_can_be_named(
    trained: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = dataset / "Test/WithMask/0.png"
    rows, _ = predicted(tmp_path, f"ckpt={trained}/last", f"source={path}")
    expected = maskcls.load(trained / "last", device="cpu").predict(path)
    assert float(rows[0]["probability_WithMask"]) == pytest.approx(expected.probabilities["WithMask"], abs=1e-6)
    assert f"checkpoint {trained}/last, classes WithMask, WithoutMask" in caplog.messages


def test_what_cannot_be_read_is_reported_and_left_out(
    trained: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes((dataset / f"Test/WithMask/{number}.png").read_bytes())
    (folder / "1a.png").write_text("not an image")
    rows, record = predicted(tmp_path, f"ckpt={trained}", f"source={folder}/*.png", "batch_size=2")
    assert [Path(row["path"]).name for row in rows] == ["0.png", "1.png", "2.png"]
    assert record["unreadable"] == [f"{folder}/1a.png: not an image, or a damaged one"]
    assert f"unreadable, left out: {folder}/1a.png: not an image, or a damaged one" in caplog.messages


def test_nothing_readable_is_an_error(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("not an image")
    with pytest.raises(UserError, match=r"none of its 1 files can be read, such as .*x\.png: not an image"):
        predicted(tmp_path, f"ckpt={trained}", f"source={tmp_path / 'x.png'}")


def test_a_name_that_is_not_utf8_is_written_with_escapes(trained: Path, dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "old archive"
    folder.mkdir()
    (folder / os.fsdecode(b"\xb0\xa1.png")).write_bytes((dataset / "Test/WithMask/0.png").read_bytes())
    rows, _ = predicted(tmp_path, f"ckpt={trained}", f"source={folder}")
    assert Path(rows[0]["path"]).name == "\\udcb0\\udca1.png"


def test_faces_are_cut_out_before_a_prediction(
    trained: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Finder:
        def __init__(self, model: Path, *, always_crop: bool) -> None:
            assert always_crop

        def find(self, image: np.ndarray) -> Face:
            return Face("found", Box(2, 3, 14)) if image.shape[0] % 2 else Face("none")

    (tmp_path / "yunet.onnx").touch()
    monkeypatch.setattr("maskcls.commands.predict.FaceFinder", Finder)
    settings = (f"ckpt={trained}", f"source={dataset}/Test/WithMask", "faces.mode=yunet")
    rows, _ = predicted(tmp_path, *settings, f"faces.model={tmp_path}/yunet.onnx")
    assert {row["face"] for row in rows} == {"found", "none"}
    predictor = maskcls.load(trained, device="cpu")
    for row in rows:
        image = decode_image(Path(row["path"]))
        seen = image[3:17, 2:16] if image.shape[0] % 2 else image
        expected = predictor.predict(seen).probabilities["WithMask"]
        assert float(row["probability_WithMask"]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.hostile
def test_a_checkpoint_cannot_ask_for_all_files_at_once(
    trained: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / BEST
    rewrite(path, trained / CHECKPOINTS / BEST, {"config.data.eval_batch_size": 2**40})
    assert maskcls.load(path, device="cpu").batch_size == MAX_BATCH_SIZE

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("maskcls.inference.predictor.predict_logits", fail)
    with pytest.raises(MachineError, match=f"^out of memory at batch_size={MAX_BATCH_SIZE}: "):
        predicted(tmp_path, f"ckpt={path}", f"source={dataset / 'Test'}")
