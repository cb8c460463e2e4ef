"""From logits to probabilities and decisions, against SciPy and by hand."""

import math

import numpy as np
import pytest
import scipy.special

from maskcls.models.calibration import UNCALIBRATED, Calibration, answers_of, log_softmax, soften

LOGITS = np.array([[2.0, 0.5, -1.0], [0.0, 3.0, 3.0], [-40.0, 0.0, 700.0]])


def log_of(*probabilities: float) -> np.ndarray:
    """Logits of two classes, from the probabilities of the first."""
    logits: np.ndarray = np.log([(first, 1 - first) for first in probabilities])
    return logits


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_the_logarithms_are_those_of_the_softmax(dtype: type) -> None:
    logits: np.ndarray = LOGITS.astype(dtype)
    expected = scipy.special.log_softmax(logits.astype(np.float64), axis=1)
    found = log_softmax(logits)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_no_logarithm_underflows() -> None:
    assert log_softmax(np.array([[0.0, 400.0]])).tolist() == [[-400.0, 0.0]]


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 2.0, 20.0])
def test_a_temperature_divides_the_logits(temperature: float) -> None:
    scaled = np.exp(LOGITS[:2] / temperature)
    expected = scaled / scaled.sum(axis=1, keepdims=True)
    found = soften(log_softmax(LOGITS[:2]), temperature)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)


def test_without_a_calibration_the_most_probable_class_is_predicted() -> None:
    answers = answers_of(LOGITS, UNCALIBRATED, None)
    assert answers.predicted.tolist() == [0, 1, 2]  # of equal ones the first
    np.testing.assert_allclose(answers.probabilities, np.exp(answers.log_probabilities), rtol=1e-12)


@pytest.mark.parametrize(
    ("threshold", "predicted"), [(0.5, [0, 0, 1]), (0.25, [0, 0, 0]), (0.69, [0, 1, 1]), (0.9, [1, 1, 1])]
)
def test_a_threshold_decides_for_the_positive_class(threshold: float, predicted: list[int]) -> None:
    logits, calibration = log_of(0.7, 0.5, 0.3), Calibration(threshold=threshold)
    assert answers_of(logits, calibration, 0).predicted.tolist() == predicted
    # of the other class, from its own probability on
    flipped = [int(1 - p >= threshold) if threshold != 0.5 else int(1 - p > p) for p in (0.7, 0.5, 0.3)]
    assert answers_of(logits, calibration, 1).predicted.tolist() == flipped


def test_a_threshold_without_a_positive_class_decides_nothing() -> None:
    assert answers_of(log_of(0.7, 0.5, 0.3), Calibration(threshold=0.9), None).predicted.tolist() == [0, 0, 1]


def test_below_the_threshold_the_most_probable_other_class_is_predicted() -> None:
    logits = np.log([[0.5, 0.2, 0.3], [0.3, 0.4, 0.3], [0.7, 0.1, 0.2]])
    assert answers_of(logits, Calibration(threshold=0.6), 0).predicted.tolist() == [2, 1, 0]
    assert answers_of(logits, Calibration(threshold=0.3), 0).predicted.tolist() == [0, 0, 0]
    assert answers_of(logits, Calibration(threshold=0.25), 2).predicted.tolist() == [2, 2, 0]


def test_the_threshold_is_one_of_calibrated_probabilities() -> None:
    # 0.88 before, 0.73 at a temperature of 2
    logits = np.array([[2.0, 0.0]])
    assert answers_of(logits, Calibration(1.0, 0.8), 0).predicted.tolist() == [0]
    assert answers_of(logits, Calibration(2.0, 0.8), 0).predicted.tolist() == [1]


def test_a_temperature_changes_probabilities_and_no_decision_or_loss() -> None:
    logits = np.array([[3.0, 0.0], [0.0, 1.0]])
    plain, cooled = (answers_of(logits, Calibration(temperature), 0) for temperature in (1.0, 2.0))
    assert cooled.probabilities[:, 0] == pytest.approx([1 / (1 + math.exp(-1.5)), 1 / (1 + math.exp(0.5))])
    assert cooled.predicted.tolist() == plain.predicted.tolist() == [0, 1]
    assert cooled.log_probabilities.tolist() == plain.log_probabilities.tolist()
