"""The files of an evaluation, and what a person is shown of it."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from figures import assert_shows_something
from predictions import CLASSES, predictions_of
from tables import read_table

from maskcls.evaluation.metrics import classification_metrics, slices
from maskcls.evaluation.predictions import Predictions
from maskcls.evaluation.results import report_slices, write_evaluation

LABELS = [0, 0, 0, 1, 1, 1]
PREDICTIONS = predictions_of(LABELS, [0.9, 0.8, 0.6, 0.2, 0.1, 0.7], {"side": np.array([30, 30, 70, 70, 300, 300])})


def test_an_evaluation_writes_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "evaluation" / "test"
    metrics = write_evaluation(folder, PREDICTIONS, "WithMask", {"split": "test"}, plot=True)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["confusion_matrix.png", "metrics.json", "predictions.csv", "reliability.png"]
    for name in ("confusion_matrix.png", "reliability.png"):
        assert_shows_something(folder / name)
    assert json.loads((folder / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert next(iter(metrics)) == "split"
    assert metrics["split"] == "test"
    expected = classification_metrics(PREDICTIONS, "WithMask")
    assert {key: metrics[key] for key in expected} == expected
    assert metrics["slices"] == slices(PREDICTIONS)
    assert [row["path"] for row in read_table(folder / "predictions.csv")] == [f"{n}.png" for n in range(6)]


def test_plots_are_left_out_if_they_are_not_wanted(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "test", PREDICTIONS, None, {}, plot=False)
    assert sorted(path.name for path in (tmp_path / "test").iterdir()) == ["metrics.json", "predictions.csv"]


def test_an_evaluation_is_written_again_in_the_same_place(tmp_path: Path) -> None:
    for labels in (LABELS, LABELS[::-1]):
        write_evaluation(tmp_path / "test", predictions_of(labels, [0.9] * 6), None, {}, plot=False)
    assert [row["label"] for row in read_table(tmp_path / "test" / "predictions.csv")] == [
        CLASSES[label] for label in LABELS[::-1]
    ]


def test_images_of_one_low_resolution_have_a_table_of_their_own(tmp_path: Path) -> None:
    low = predictions_of(LABELS, [0.4] * 6)
    metrics = write_evaluation(tmp_path / "test", PREDICTIONS, "WithMask", {}, plot=False, equalised=low)
    assert metrics["slices"]["equalised"]["accuracy"] == 0.5
    assert metrics["accuracy"] == pytest.approx(5 / 6)
    rows = read_table(tmp_path / "test" / "predictions_equalised.csv")
    assert {float(row["probability_WithMask"]) for row in rows} == {0.4}


def shown(caplog: pytest.LogCaptureFixture, predictions: Predictions, equalised: Predictions | None = None) -> Any:
    """The lines that report an evaluation, each with its level."""
    metrics = {**classification_metrics(predictions, None), "slices": slices(predictions, equalised)}
    with caplog.at_level(logging.INFO):
        report_slices("test", metrics)
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_slices_are_shown_as_a_table(caplog: pytest.LogCaptureFixture) -> None:
    assert shown(caplog, PREDICTIONS) == [
        ("INFO", "test accuracy by slice:"),
        ("INFO", "  smaller than 64 pixels  100.00 % of 2 images, none of WithoutMask"),
        ("INFO", "  64 to 127 pixels        100.00 % of 2 images"),
        ("INFO", "  224 pixels or larger     50.00 % of 2 images, none of WithMask"),
    ]


def test_nothing_is_shown_without_slices(caplog: pytest.LogCaptureFixture) -> None:
    assert shown(caplog, predictions_of(LABELS, [0.9] * 6)) == []


@pytest.mark.parametrize(("count", "is_significant"), [(10, True), (1, False)])
def test_a_fall_without_resolution_is_warned_of_if_it_is_no_accident(
    count: int, caplog: pytest.LogCaptureFixture, *, is_significant: bool
) -> None:
    predictions = predictions_of([0, 1] * count, [0.9, 0.1] * count)
    low = predictions_of([0, 1] * count, [0.9, 0.9] * count)
    lines = shown(caplog, predictions, low)
    warnings = [text for level, text in lines if level == "WARNING"]
    assert lines[1] == ("INFO", f"  equalised   50.00 % of {2 * count} images")
    assert bool(warnings) == is_significant
    assert all(text.startswith("test: the accuracy falls from 100.00 to 50.00 % when all images") for text in warnings)
