"""Figures of merit against values worked out by hand."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from maskcls.evaluation.metrics import accuracy_interval, classification_metrics, percent_with_interval
from maskcls.evaluation.predictions import Predictions
from maskcls.evaluation.results import write_evaluation

CLASSES = ("WithMask", "WithoutMask")


def predictions_of(labels: list[int], positive: list[float]) -> Predictions:
    """Predictions whose probability of the first class is ``positive``."""
    p = torch.tensor(positive, dtype=torch.float64)
    return Predictions.from_logits(
        [f"{i}.png" for i in range(len(labels))], CLASSES, labels, torch.stack((p, 1 - p), 1).log()
    )


# 3 masked (2 found), 5 bare (4 found)
EXAMPLE = predictions_of([0, 0, 0, 1, 1, 1, 1, 1], [0.9, 0.8, 0.3, 0.6, 0.1, 0.2, 0.35, 0.4])


def test_accuracy_loss_and_confusion() -> None:
    metrics = classification_metrics(EXAMPLE, "WithMask")
    assert (metrics["images"], metrics["correct"], metrics["accuracy"]) == (8, 6, 0.75)
    assert metrics["confusion_matrix"]["counts"] == [[2, 1], [1, 4]]
    right = [0.9, 0.8, 0.3, 0.4, 0.9, 0.8, 0.65, 0.6]
    assert metrics["loss"] == pytest.approx(-sum(map(math.log, right)) / 8)


def test_precision_recall_and_f1_of_each_class() -> None:
    classes = classification_metrics(EXAMPLE, None)["classes"]
    assert classes["WithMask"] == pytest.approx({"images": 3, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
    assert classes["WithoutMask"] == pytest.approx({"images": 5, "precision": 0.8, "recall": 0.8, "f1": 0.8})


def test_the_positive_class_is_the_one_that_is_named() -> None:
    masked = classification_metrics(EXAMPLE, "WithMask")["positive_class"]
    bare = classification_metrics(EXAMPLE, "WithoutMask")["positive_class"]
    assert masked["sensitivity"] == bare["specificity"] == pytest.approx(2 / 3)
    assert masked["specificity"] == bare["sensitivity"] == pytest.approx(0.8)
    # of 15 pairs of a masked and a bare face, 12 are in the right order
    assert masked["roc_auc"] == bare["roc_auc"] == pytest.approx(12 / 15)
    assert "positive_class" not in classification_metrics(EXAMPLE, None)


def test_what_is_not_defined_is_none() -> None:
    metrics = classification_metrics(predictions_of([0, 0], [0.9, 0.8]), "WithMask")
    assert metrics["classes"]["WithoutMask"] == {"images": 0, "precision": None, "recall": None, "f1": None}
    assert metrics["positive_class"] == {"name": "WithMask", "sensitivity": 1.0, "specificity": None, "roc_auc": None}


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"), [(989, 992, 0.9911, 0.9990), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0)]
)
def test_wilsons_interval(correct: int, count: int, low: float, high: float) -> None:
    z, p = 1.959964, correct / count
    centre, half = p + z * z / (2 * count), z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    by_formula = [(centre + sign * half) / (1 + z * z / count) for sign in (-1, 1)]
    assert accuracy_interval(correct, count) == pytest.approx(by_formula, abs=1e-6)
    assert accuracy_interval(correct, count) == pytest.approx((low, high), abs=1e-4)


def test_an_accuracy_is_shown_with_its_interval() -> None:
    shown = percent_with_interval(classification_metrics(EXAMPLE, None))
    assert shown == "75.00 % (6 of 8, 95 % interval 40.93 to 92.85)"


def test_losses_do_not_underflow() -> None:
    predictions = Predictions.from_logits(["a", "b"], CLASSES, [0, 1], torch.tensor([[0.0, 400.0], [0.0, 400.0]]))
    assert predictions.losses.tolist() == [400.0, 0.0]
    assert not np.signbit(predictions.losses[1])


def test_predictions_csv_holds_every_image(tmp_path: Path) -> None:
    EXAMPLE.write(tmp_path / "predictions.csv")
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "prediction", "probability_WithMask", "probability_WithoutMask", "loss"]
    assert len(rows) == 8
    assert (rows[2]["path"], rows[2]["label"], rows[2]["prediction"]) == ("2.png", "WithMask", "WithoutMask")
    assert float(rows[2]["probability_WithMask"]) == pytest.approx(0.3)
    assert float(rows[2]["loss"]) == pytest.approx(-math.log(0.3))


def test_an_evaluation_writes_its_files(tmp_path: Path) -> None:
    metrics = write_evaluation(tmp_path / "evaluation" / "test", EXAMPLE, "WithMask", {"split": "test"}, plot=True)
    assert metrics["split"] == "test"
    names = sorted(path.name for path in (tmp_path / "evaluation" / "test").iterdir())
    assert names == ["confusion_matrix.png", "metrics.json", "predictions.csv"]
