"""What a model predicts for each image, in memory and as a table."""

import math
from pathlib import Path

import numpy as np
import pytest
from predictions import CLASSES, predictions_of
from tables import read_table

from maskcls.data.index import Split
from maskcls.evaluation.predictions import Predictions
from maskcls.models.calibration import UNCALIBRATED, Calibration, answers_of

LOGITS = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.5]])
FILES = Split(("WithMask/a.png", "WithMask/b.png", "WithoutMask/c.png"), (0, 0, 1))
FACTS = {"side": np.array([40, 50, 60]), "group": np.array(["x", "y", "x"], dtype=object)}


def answered(
    logits: np.ndarray = LOGITS, calibration: Calibration = UNCALIBRATED, positive: int | None = None
) -> Predictions:
    """Predictions for `FILES`, from logits."""
    return Predictions.of(FILES, CLASSES, answers_of(logits, calibration, positive), FACTS)


def test_answers_stand_with_their_files() -> None:
    predictions = answered()
    assert (predictions.paths, predictions.classes, predictions.facts) == (FILES.paths, CLASSES, FACTS)
    assert (predictions.labels.tolist(), predictions.predicted.tolist()) == ([0, 0, 1], [0, 1, 0])
    assert (predictions.labels.dtype, predictions.predicted.dtype) == (np.dtype(np.int64), np.dtype(np.int64))
    assert predictions.probabilities[:, 0] == pytest.approx([1 / (1 + math.exp(-x)) for x in (2, -1, 0.5)])
    assert predictions.losses == pytest.approx([math.log(1 + math.exp(x)) for x in (-2, 1, 0.5)])
    assert predictions.accuracy == pytest.approx(1 / 3)
    assert predictions.loss == pytest.approx(sum(math.log(1 + math.exp(x)) for x in (-2, 1, 0.5)) / 3)
    assert Predictions.of(FILES, CLASSES, answers_of(LOGITS, UNCALIBRATED, None)).facts == {}


def test_losses_do_not_underflow_and_have_no_sign() -> None:
    predictions = answered(np.array([[0.0, 400.0], [0.0, 400.0], [0.0, 400.0]]))
    assert predictions.losses.tolist() == [400.0, 400.0, 0.0]
    assert not np.signbit(predictions.losses[2])


def test_a_temperature_changes_probabilities_and_no_decision_or_loss() -> None:
    plain, cooled = answered(), answered(calibration=Calibration(temperature=2.0), positive=0)
    assert cooled.probabilities[:, 0] == pytest.approx([1 / (1 + math.exp(-x / 2)) for x in (2, -1, 0.5)])
    assert cooled.predicted.tolist() == plain.predicted.tolist()
    assert cooled.losses.tolist() == plain.losses.tolist()


def test_a_threshold_decides_for_the_positive_class() -> None:
    for threshold, predicted in ((0.5, [0, 1, 0]), (0.2, [0, 0, 0]), (0.7, [0, 1, 1]), (0.9, [1, 1, 1])):
        calibration = Calibration(threshold=threshold)
        assert answered(calibration=calibration, positive=0).predicted.tolist() == predicted
        assert answered(calibration=calibration).predicted.tolist() == [0, 1, 0]


def test_a_part_has_the_values_of_its_images() -> None:
    whole, chosen = answered(), np.array([True, False, True])
    part = whole.part(chosen)
    assert (part.paths, part.classes) == (("WithMask/a.png", "WithoutMask/c.png"), CLASSES)
    for name in ("labels", "probabilities", "predicted", "losses"):
        assert np.array_equal(getattr(part, name), getattr(whole, name)[chosen])
    assert {name: values.tolist() for name, values in part.facts.items()} == {"side": [40, 60], "group": ["x", "x"]}
    assert (whole.part(~chosen).accuracy, part.accuracy) == (0.0, 0.5)
    assert part.loss == pytest.approx(sum(math.log(1 + math.exp(x)) for x in (-2, 0.5)) / 2)


def test_the_table_holds_every_image(tmp_path: Path) -> None:
    predictions = predictions_of([0] * 3 + [1] * 5, [0.9, 0.8, 0.3, 0.6, 0.1, 0.2, 0.35, 0.4])
    predictions.write(tmp_path / "predictions.csv")
    rows = read_table(tmp_path / "predictions.csv")
    assert list(rows[0]) == ["path", "label", "prediction", "probability_WithMask", "probability_WithoutMask", "loss"]
    assert len(rows) == 8
    assert (rows[2]["path"], rows[2]["label"], rows[2]["prediction"]) == ("2.png", "WithMask", "WithoutMask")
    assert float(rows[2]["probability_WithMask"]) == pytest.approx(0.3)
    assert float(rows[2]["loss"]) == pytest.approx(-math.log(0.3))


def test_the_table_holds_the_facts_and_nine_digits(tmp_path: Path) -> None:
    answered().write(tmp_path / "predictions.csv")
    rows = read_table(tmp_path / "predictions.csv")
    assert [(row["side"], row["group"]) for row in rows] == [("40", "x"), ("50", "y"), ("60", "x")]
    assert rows[0]["probability_WithMask"] == "0.880797078"
    assert rows[2]["loss"] == "0.974076984"
