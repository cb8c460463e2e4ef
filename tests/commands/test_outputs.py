"""The tables of a prediction: a row a face, as CSV or JSON lines."""

import json
from pathlib import Path

import pytest
from seen import NAMING, answered, detection, picture, video
from tables import read_table

from maskcls.commands.outputs import rows_of, write_rows
from maskcls.data.detection import Detection
from maskcls.media.frames import Unusable

COLUMNS = [
    "path", "frame", "seconds", "face", "found", "left", "top", "width", "height", "score", "prediction",
    "probability_WithMask", "probability_WithoutMask", "passes_threshold", "damaged",
]  # fmt: skip


def test_each_face_is_a_row_and_a_picture_without_one_is_a_row_that_says_so(tmp_path: Path) -> None:
    party = picture("party.jpg", answered(0.9, detection(3.4, 20.6)), answered(0.25, detection(50, score=0.71)))
    with write_rows(tmp_path / "predictions.csv", NAMING) as add:
        add(party)
        add(Unusable("gone.jpg", "No such file"))
        add(picture("nobody.jpg"))
        add(picture("whole.jpg", answered(0.4), damage="cut off"))
    rows = read_table(tmp_path / "predictions.csv")
    assert list(rows[0]) == COLUMNS
    assert [list(row.values()) for row in rows] == [
        ["party.jpg", "", "", "1", "found", "3", "21", "30", "30", "0.9000", "WithMask", "0.9", "0.1", "true", ""],
        ["party.jpg", "", "", "2", "found", "50", "20", "30", "30", "0.7100", "WithoutMask", "0.25", "0.75", "false",
         ""],
        ["nobody.jpg", "", "", "", "none", "", "", "", "", "", "", "", "", "", ""],
        ["whole.jpg", "", "", "", "none", "", "", "", "", "", "WithMask", "0.4", "0.6", "true", "cut off"],
    ]  # fmt: skip


def test_frames_of_a_video_have_a_number_and_a_time(tmp_path: Path) -> None:
    with write_rows(tmp_path / "predictions.csv", NAMING) as add:
        for seen in video("street.mp4", [answered(0.9, detection())], [], rate=30):
            add(seen)
    rows = read_table(tmp_path / "predictions.csv")
    assert [(row["frame"], row["seconds"], row["face"]) for row in rows] == [("0", "0.000", "1"), ("1", "0.033", "")]


def test_json_lines_say_the_same(tmp_path: Path) -> None:
    with write_rows(tmp_path / "predictions.jsonl", NAMING) as add:
        add(picture("파티\udcff.jpg", answered(0.75, detection(3.4, 20.6)), answered(0.25, detection(50))))
        add(picture("nobody.jpg"))
    lines = (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    first, second, third = map(json.loads, lines)
    assert first == {
        "path": "파티\udcff.jpg", "frame": None, "seconds": None, "face": 1, "found": "found", "box": [3, 21, 30, 30],
        "score": 0.9, "prediction": "WithMask", "probabilities": {"WithMask": 0.75, "WithoutMask": 0.25},
        "passes_threshold": True, "damaged": None,
    }  # fmt: skip
    assert (second["face"], second["prediction"]) == (2, "WithoutMask")
    assert (third["found"], third["prediction"], third["probabilities"]) == ("none", None, {})


def test_without_a_positive_class_nothing_passes_a_threshold() -> None:
    naming = NAMING._replace(positive=None)
    assert rows_of(picture("a.jpg", answered(0.9)), naming)[0].passes_threshold is None


def test_the_box_is_the_detectors_to_the_nearest_pixel() -> None:
    found = Detection(-3.6, 2.4, 10.2, 11.9, detection().landmarks, 0.8)
    (row,) = rows_of(picture("a.jpg", answered(0.9, found)), NAMING)
    assert row.box == (-4, 2, 10, 12)


@pytest.mark.parametrize("name", ["predictions.csv", "predictions.jsonl"])
def test_a_table_appears_whole_or_not_at_all(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()

    def interrupted() -> None:
        with write_rows(folder / name, NAMING) as add:
            add(picture("a.jpg", answered(0.9)))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert not list(folder.iterdir())
