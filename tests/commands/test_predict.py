"""Predictions for image files: the same as evaluation's, and nothing invented for what cannot be read."""

import errno
import itertools
import json
import logging
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from configuration import config_of, small, start_run
from images import write_image
from runs import rewrite
from tables import read_table

import maskcls
from maskcls.commands.predict import predict
from maskcls.commands.showing import WindowClosedError
from maskcls.commands.train import train
from maskcls.data.decode import CUT_OFF, Box, Decoded, decode_file
from maskcls.data.detection import Detection
from maskcls.data.faces import Detections, Face
from maskcls.errors import MachineError, UserError
from maskcls.inference.pipeline import Pipeline
from maskcls.interrupts import Interrupted
from maskcls.models.document import MAX_BATCH_SIZE
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
    assert {row["found"] for row in rows} == {""}  # no face was looked for
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
    assert re.fullmatch(r"1 image predicted in \d+\.\d s, 0 unreadable; the table is .*", caplog.messages[-1])


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

    monkeypatch.setattr("maskcls.media.pictures.decode_file", slowly)
    monkeypatch.setattr("maskcls.inference.pipeline.usable_cores", lambda: 4)
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
    assert f"cannot be read: {folder}/1a.png: a text file, not an image" in caplog.messages


def test_nothing_readable_is_an_error(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("not an image")
    with pytest.raises(UserError, match=r"^source=[^:]*x\.png: a text file, not an image$"):
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


class Finder:
    """Finds a face in each column of 12 pixels that begins white; nothing in pictures of an odd height."""

    def __init__(self, model: Path, *, always_crop: bool, key: str = "") -> None:
        self.always_crop = always_crop

    def detect_all(self, image: np.ndarray, *, min_size: int) -> Detections:
        white = [column for column in range(0, image.shape[1] - 11, 12) if (image[0, column] > 240).all()]
        faces = [Detection(column, 2, 12, 12, np.zeros((5, 2)), 0.9) for column in white]
        return Detections(
            [face for face in faces if face.size >= min_size], sum(face.size < min_size for face in faces)
        )

    def crop_of(self, found: Detection, *, width: int, height: int) -> Face:
        return Face("found", Box(int(found.left), 2, 12))


@pytest.fixture
def detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key that names a detector, which `Finder` stands in for."""
    (tmp_path / "yunet.onnx").touch()
    monkeypatch.setattr("maskcls.data.faces.FaceFinder", Finder)
    return f"faces.model={tmp_path}/yunet.onnx"


def crowd(*columns: int, width: int = 60, seed: int = 0) -> np.ndarray:
    """A picture with a face at some columns, RGB uint8."""
    image = np.random.default_rng(seed).integers(0, 200, (40, width, 3), dtype=np.uint8)
    image[0, list(columns)] = 255
    return image


def test_every_face_is_a_row_with_the_answer_for_its_crop(trained: Path, tmp_path: Path, detector: str) -> None:
    write_image(tmp_path / "photos/a.png", crowd(36, 0))
    write_image(tmp_path / "photos/b.png", crowd())
    settings = (f"ckpt={trained}", f"source={tmp_path}/photos", detector, "faces.min_size=10")
    rows, record = predicted(tmp_path, *settings, "faces.mode=auto")
    assert [(Path(row["path"]).name, row["face"], row["found"], row["left"]) for row in rows] == [
        ("a.png", "1", "found", "0"), ("a.png", "2", "found", "36"), ("b.png", "", "none", ""),
    ]  # fmt: skip
    predictor = maskcls.load(trained, device="cpu")
    crops = [crowd(36, 0)[2:14, left : left + 12] for left in (0, 36)]
    for row, seen in zip(rows, [*crops, crowd()], strict=True):
        expected = predictor.predict(seen).probabilities["WithMask"]
        assert float(row["probability_WithMask"]) == pytest.approx(expected, abs=1e-6)
    assert (record["images"], record["answers"], record["found"]) == (2, 3, {"found": 2, "none": 1})


def test_yunet_gives_no_answer_without_a_face(
    trained: Path, tmp_path: Path, detector: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_image(tmp_path / "b.png", crowd())
    rows, record = predicted(tmp_path, f"ckpt={trained}", f"source={tmp_path}/b.png", detector, "faces.mode=yunet")
    assert [(row["found"], row["prediction"], row["probability_WithMask"]) for row in rows] == [("none", "", "")]
    assert (record["images"], record["answers"], record["unanswered"]) == (1, 0, 1)
    assert "1 picture without a face, not classified" in caplog.messages


def test_small_faces_are_left_out_and_counted(
    trained: Path, tmp_path: Path, detector: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_image(tmp_path / "a.png", crowd(0, 24))
    settings = (f"ckpt={trained}", f"source={tmp_path}/a.png", detector, "faces.mode=auto", "faces.min_size=13")
    rows, record = predicted(tmp_path, *settings)
    assert [row["found"] for row in rows] == ["none"]
    assert record["too_small"] == 2
    assert "2 faces left out, because they are smaller than faces.min_size" in caplog.messages


def video(path: Path, *images: np.ndarray, rate: int = 10) -> Path:
    """Write a video without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = images[0].shape[1], images[0].shape[0], "bgr0"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")))
        container.mux(stream.encode())
    return path


def test_a_video_gets_a_row_a_face_and_is_written_with_boxes(trained: Path, tmp_path: Path, detector: str) -> None:
    source = video(tmp_path / "street.mkv", crowd(0), crowd(0, 24), crowd(), crowd(36))
    settings = (f"ckpt={trained}", f"source={source}", detector, "faces.mode=auto", "faces.min_size=10", "save=true")
    rows, _ = predicted(tmp_path, *settings)
    assert [(row["frame"], row["seconds"], row["face"], row["found"]) for row in rows] == [
        ("0", "0.000", "1", "found"), ("1", "0.100", "1", "found"), ("1", "0.100", "2", "found"),
        ("2", "0.200", "", "none"), ("3", "0.300", "1", "found"),
    ]  # fmt: skip
    assert rows[3]["prediction"] == ""  # a frame without a face is nobody's portrait
    folder = next(path for path in tmp_path.iterdir() if path.name.startswith("prediction"))
    with av.open(str(folder / "annotated/street.mkv.mp4")) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [image.shape for image in shown] == [(40, 60, 3)] * 4
    assert np.abs(shown[0].astype(int) - crowd(0)).mean() > 20  # something is drawn
    assert (folder / "plots/timeline.png").is_file()


def test_frames_are_skipped_by_rule_and_counted(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source = video(tmp_path / "street.mkv", *[crowd(0)] * 10)
    rows, record = predicted(tmp_path, f"ckpt={trained}", f"source={source}", "every=4")
    assert [row["frame"] for row in rows] == ["0", "4", "8"]
    assert record["skipped_frames"] == 7
    assert "7 frames skipped (every, max_fps)" in caplog.messages


def test_what_was_seen_of_a_broken_video_is_kept(trained: Path, tmp_path: Path) -> None:
    whole = video(tmp_path / "whole.mkv", *(crowd(0, seed=seed) for seed in range(50))).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    rows, record = predicted(tmp_path, f"ckpt={trained}", f"source={tmp_path}/cut.mkv")
    assert 10 < len(rows) < 40
    (reason,) = record["unreadable"]
    assert reason.startswith(f"{tmp_path}/cut.mkv: cut off: it ends after ")


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("end", [Interrupted(signal.SIGINT), WindowClosedError(), FULL, MachineError("out of memory")])
def test_a_prediction_that_ends_early_is_written_like_a_whole_one(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    source = video(tmp_path / "street.mkv", *[crowd(0)] * 30)
    run = Pipeline.run

    def interrupted(self: Pipeline, clips: Any, **settings: Any) -> Iterator[Any]:
        for number, seen in enumerate(run(self, clips, **settings)):
            if number == 8:
                raise end
            yield seen

    monkeypatch.setattr(Pipeline, "run", interrupted)
    config = config_of("predict", "device=cpu", f"ckpt={trained}", f"source={source}", "save=true", "report=true")
    begun = start_run(tmp_path / "run", config, "predict")
    with nullcontext() if isinstance(end, WindowClosedError) else pytest.raises(type(end)) as raised:
        predict(config, begun)
    assert raised is None or raised.value is end
    assert len(read_table(tmp_path / "run/predictions.csv")) == begun.record["images"] == 8
    with av.open(str(tmp_path / "run/annotated/street.mkv.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 8
    assert (tmp_path / "run/gallery.html").is_file()


def test_a_picture_that_cannot_be_saved_ends_the_prediction_before_its_row(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcd":
        write_image(tmp_path / f"pictures/{name}.png", crowd())

    def write(path: Path, image: np.ndarray) -> None:
        if path.stem.startswith("c"):
            raise FULL

    monkeypatch.setattr("maskcls.commands.showing.write_picture", write)
    config = config_of("predict", "device=cpu", f"ckpt={trained}", f"source={tmp_path}/pictures", "save=true")
    run = start_run(tmp_path / "run", config, "predict")
    with pytest.raises(OSError, match="No space left"):
        predict(config, run)
    names = [Path(row["path"]).name for row in read_table(tmp_path / "run/predictions.csv")]
    assert names == ["a.png", "b.png"]
    assert run.record["images"] == 2


def test_a_full_disk_leaves_whole_rows(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = video(tmp_path / "street.mkv", *[crowd(0)] * 20)
    count = itertools.count()

    def full_after_six(file: Any, content: bytes) -> None:
        if next(count) > 6:  # the headings and six rows
            raise FULL
        file.write(content)

    monkeypatch.setattr("maskcls.commands.outputs.append", full_after_six)
    config = config_of("predict", "device=cpu", f"ckpt={trained}", f"source={source}")
    run = start_run(tmp_path / "run", config, "predict")
    with pytest.raises(OSError, match="No space left"):
        predict(config, run)
    assert len(read_table(tmp_path / "run/predictions.csv")) == run.record["images"] == 6


def test_frames_are_counted_when_a_window_is_closed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = video(tmp_path / "street.mkv", *[crowd(0)] * 40)

    def close(*_: object) -> None:
        raise WindowClosedError

    monkeypatch.setattr("maskcls.commands.predict.Tally.add", close)
    config = config_of("predict", "device=cpu", f"ckpt={trained}", f"source={source}", "every=4")
    run = start_run(tmp_path / "run", config, "predict")
    predict(config, run)
    assert run.record["skipped_frames"] > 0


def test_answers_that_are_no_numbers_are_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png", crowd())
    monkeypatch.setattr(
        "maskcls.models.torch_network.TorchNetwork.logits", lambda _, images: np.full((len(images), 2), np.nan)
    )
    with pytest.raises(MachineError, match="answers are not finite in float32; precision=float32 may help"):
        predicted(tmp_path, f"ckpt={trained}", f"source={tmp_path}/a.png")


def test_a_video_that_cannot_be_finished_leaves_the_table(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise FULL

    monkeypatch.setattr("maskcls.commands.showing.VideoWriter.__exit__", fail)
    source = video(tmp_path / "street.mkv", *[crowd(0)] * 5)
    config = config_of("predict", "device=cpu", f"ckpt={trained}", f"source={source}", "save=true")
    with pytest.raises(OSError, match="No space left"):
        predict(config, start_run(tmp_path / "run", config, "predict"))
    assert len(read_table(tmp_path / "run/predictions.csv")) == 5


def test_json_lines_and_the_gallery_are_written(trained: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", crowd())
    config = config_of(
        "predict", "device=cpu", f"ckpt={trained}", f"source={tmp_path}/a.png", "format=jsonl", "report=true"
    )
    predict(config, start_run(tmp_path / "run", config, "predict"))
    (row,) = map(json.loads, (tmp_path / "run/predictions.jsonl").read_text().splitlines())
    assert row["path"] == f"{tmp_path}/a.png"
    assert "a.png" in (tmp_path / "run/gallery.html").read_text(encoding="utf-8")
    assert not (tmp_path / "run/predictions.csv").exists()


def test_heat_maps_need_a_place_to_be_seen(trained: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", crowd())
    with pytest.raises(
        UserError, match=r"^explain=true: heat maps are in .*: add save=true, report=true or show=true$"
    ):
        predicted(tmp_path, f"ckpt={trained}", f"source={tmp_path}/a.png", "explain=true")


def test_a_window_needs_a_screen(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    write_image(tmp_path / "a.png", crowd())
    with pytest.raises(UserError, match=r"^show=true: there is no screen here"):
        predicted(tmp_path, f"ckpt={trained}", f"source={tmp_path}/a.png", "show=true")


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
