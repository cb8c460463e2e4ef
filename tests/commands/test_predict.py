"""Predictions for image files: the same as evaluation's, and nothing invented for what cannot be read."""

import logging
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from configuration import config_of, small, start_run
from runs import rewrite
from tables import read_table

import maskcls
from maskcls.commands.predict import predict
from maskcls.commands.train import train
from maskcls.data.decode import CUT_OFF, Box, Decoded, decode_file, decode_image
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
    assert list(rows[0]) == ["path", "prediction", "probability_WithMask", "probability_WithoutMask", "damaged"]
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
    assert any(line.startswith("1 image predicted, 0 unreadable; the table is ") for line in caplog.messages)


def lines_after(caplog: pytest.LogCaptureFixture, heading: str) -> list[str]:
    """The rows of the table below a heading, without its column names."""
    start = caplog.messages.index(heading) + 2
    rows = [line if line.startswith("  ") else "" for line in caplog.messages[start:]]
    return rows[: rows.index("")]


def test_of_many_images_the_first_and_the_doubtful_are_shown(
    trained: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rows, record = predicted(tmp_path, f"ckpt={trained}", f"source={dataset / 'Train'}", "batch_size=7")
    assert len(rows) == 48
    names = [row["path"][-60:] for row in rows]
    certainty = [max(float(row["probability_WithMask"]), float(row["probability_WithoutMask"])) for row in rows]
    doubtful = [names[position] for position in np.argsort(certainty, kind="stable")[:10]]
    for heading, expected in (("the first 10 images:", names[:10]), ("the 10 least certain images:", doubtful)):
        shown = lines_after(caplog, heading)
        assert len(shown) == 10
        assert all(name in line for name, line in zip(expected, shown, strict=True))
    counts = {name: sum(row["prediction"] == name for row in rows) for name in ("WithMask", "WithoutMask")}
    assert record["classes"] == counts
    assert lines_after(caplog, "predicted:") == [
        f"  {name:<11}  {count:<6}  {count / 48:.2%}" for name, count in counts.items()
    ]


def test_files_are_read_in_threads_and_answered_in_order(
    trained: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def slowly(path: Path) -> Decoded:
        threads.add(threading.get_ident())
        time.sleep(0.02 if path.name < "3" else 0)
        return decode_file(path)

    monkeypatch.setattr("maskcls.commands.predict.decode_file", slowly)
    monkeypatch.setattr("maskcls.commands.predict.usable_cores", lambda: 4)
    rows, _ = predicted(tmp_path, f"ckpt={trained}", f"source={dataset / 'Test'}")
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    assert len(threads) > 1


def test_what_is_not_predicted_or_damaged_is_recorded(
    trained: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing")
    shutil.copy(dataset / "Test/WithMask/0.png", folder / "a.png")
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    content = cv2.imencode(".jpg", image)[1].tobytes()
    (folder / "b.jpg").write_bytes(content[:-20])
    rows, record = predicted(tmp_path, f"ckpt={trained}", f"source={folder}")
    assert [row["damaged"] for row in rows] == ["", CUT_OFF]
    assert record["left_out"] == {"notes.txt": "not an image: a text file"}
    assert record["damaged"] == [f"{folder}/b.jpg: {CUT_OFF}"]
    assert f"damaged, predicted from what is left of it: {folder}/b.jpg: {CUT_OFF}" in caplog.messages


def test_a_long_path_is_shortened_where_it_is_shown_only(
    trained: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / ("a" * 100)
    folder.mkdir()
    image = Path(shutil.copy(dataset / "Test/WithMask/0.png", folder / "face.png"))
    rows, _ = predicted(tmp_path, f"ckpt={trained}", f"source={image}")
    assert rows[0]["path"] == str(image)
    (shown,) = [line.strip() for line in caplog.messages if line.startswith("  ...")]
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
    assert record["unreadable"] == [f"{folder}/1a.png: a text file, not an image"]
    assert f"unreadable, left out: {folder}/1a.png: a text file, not an image" in caplog.messages


def test_nothing_readable_is_an_error(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("not an image")
    with pytest.raises(UserError, match=r"x\.png: /.*x\.png: a text file, not an image$"):
        predicted(tmp_path, f"ckpt={trained}", f"source={tmp_path / 'x.png'}")
    (tmp_path / "y.png").touch()
    with pytest.raises(UserError, match=r"\*\.png: none of its 2 files can be read, such as .*x\.png: a text file"):
        predicted(tmp_path, f"ckpt={trained}", f"source={tmp_path}/*.png")


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
