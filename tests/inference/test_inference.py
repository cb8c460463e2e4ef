"""Predictions for image files: the same as evaluation's, and nothing invented for what cannot be read."""

import csv
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from configuration import config_of, small, start_run

from maskcls.commands.predict import predict
from maskcls.commands.train import train
from maskcls.data.decode import Box, decode_image
from maskcls.data.faces import Face
from maskcls.errors import UserError
from maskcls.inference.classifier import Classifier
from maskcls.models.checkpoint import MAX_BATCH_SIZE, save_checkpoint, training_data


@pytest.fixture
def trained(dataset: Path, tmp_path: Path) -> Path:
    config = small(dataset)
    train(config, start_run(tmp_path / "run", config))
    return tmp_path / "run"


def predicted(tmp_path: Path, *overrides: str) -> tuple[list[dict[str, str]], dict[str, object]]:
    config = config_of("predict", "device=cpu", *overrides)
    run = start_run(tmp_path / "prediction", config, "predict")
    predict(config, run)
    with (run.directory / "predictions.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file)), run.record


def test_a_folder_gets_the_probabilities_of_its_evaluation(trained: Path, dataset: Path, tmp_path: Path) -> None:
    rows, record = predicted(tmp_path, f"ckpt={trained}", f"source={dataset / 'Test'}", "batch_size=128")
    with (trained / "evaluation/test/predictions.csv").open() as file:
        evaluated = {str(dataset / row["path"]): row for row in csv.DictReader(file)}
    assert record["images"] == len(rows) == len(evaluated) == 12
    for row in rows:
        assert row["prediction"] == evaluated[row["path"]]["prediction"]
        for name in ("probability_WithMask", "probability_WithoutMask"):
            assert float(row[name]) == pytest.approx(float(evaluated[row["path"]][name]), abs=1e-6)


def test_the_table_is_shown(trained: Path, dataset: Path, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    rows, _ = predicted(tmp_path, f"ckpt={trained}", f"source={dataset / 'Test/WithMask/0.png'}")
    shown = next(line for line in caplog.text.splitlines() if "0.png" in line and "%" in line)
    assert rows[0]["prediction"] in shown
    assert f"{float(rows[0]['probability_WithMask']):.2%}" in shown


def test_the_threads_are_those_asked_for(trained: Path, dataset: Path, tmp_path: Path) -> None:
    predicted(tmp_path, f"ckpt={trained}", f"source={dataset / 'Test/WithMask/0.png'}", "threads=2")
    assert torch.get_num_threads() == 2


def test_what_cannot_be_read_is_reported_and_left_out(trained: Path, dataset: Path, tmp_path: Path, caplog) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes((dataset / f"Test/WithMask/{number}.png").read_bytes())
    (folder / "1a.png").write_text("not an image")
    rows, record = predicted(tmp_path, f"ckpt={trained}", f"source={folder}/*.png", "batch_size=2")
    assert [Path(row["path"]).name for row in rows] == ["0.png", "1.png", "2.png"]
    assert record["unreadable"] == [f"{folder}/1a.png: not an image, or a damaged one"]
    assert "unreadable, left out" in caplog.text


def test_nothing_readable_is_an_error(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("not an image")
    with pytest.raises(UserError, match=r"none of its 1 files can be read, such as .*x\.png: not an image"):
        predicted(tmp_path, f"ckpt={trained}", f"source={tmp_path / 'x.png'}")


def test_the_python_interface(trained: Path, dataset: Path) -> None:
    classifier = Classifier(trained, device="cpu")
    images = [decode_image(dataset / f"Test/{name}/0.png") for name in ("WithMask", "WithoutMask")]
    probabilities = classifier.probabilities(images)
    assert classifier.classes == ("WithMask", "WithoutMask")
    assert probabilities.dtype == np.float64
    assert probabilities.sum(axis=1) == pytest.approx([1, 1])
    assert not np.allclose(probabilities[0], probabilities[1])


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
        def __init__(self, model: Path, cuts_crops: bool) -> None:
            assert cuts_crops

        def find(self, image: np.ndarray) -> Face:
            return Face("found", Box(2, 3, 14)) if image.shape[0] % 2 else Face("none")

    (tmp_path / "yunet.onnx").touch()
    monkeypatch.setattr("maskcls.commands.predict.FaceFinder", Finder)
    settings = (f"ckpt={trained}", f"source={dataset}/Test/WithMask", "faces.mode=yunet")
    rows, _ = predicted(tmp_path, *settings, f"faces.model={tmp_path}/yunet.onnx")
    assert {row["face"] for row in rows} == {"found", "none"}
    classifier = Classifier(trained, "cpu")
    for row in rows:
        image = decode_image(Path(row["path"]))
        seen = image[3:17, 2:16] if image.shape[0] % 2 else image
        expected = classifier.probabilities([np.ascontiguousarray(seen)])[0]
        assert float(row["probability_WithMask"]) == pytest.approx(expected[0], abs=1e-6)


def test_a_checkpoint_cannot_ask_for_all_files_at_once(trained: Path) -> None:
    path = trained / "checkpoints" / "best.pt"
    content = torch.load(path, weights_only=True)
    content["config"]["data"]["eval_batch_size"] = 2**40
    save_checkpoint(path, content)
    assert Classifier(path).batch_size == MAX_BATCH_SIZE
    assert training_data(content, path).eval_batch_size == MAX_BATCH_SIZE  # which evaluation takes, too
