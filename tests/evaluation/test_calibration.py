"""Temperature and threshold, fitted to validation images."""

import numpy as np
import pytest

from maskcls.evaluation.calibration import TEMPERATURES, calibrate, choose_threshold, fit_temperature
from maskcls.models.calibration import Calibration, soften


def answers(count: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of a network that is too sure by this temperature, and labels drawn as the true ones say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, 2))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.uniform(size=count) < true[:, 1]).astype(np.int64)
    sure = logits * temperature
    return sure - np.log(np.exp(sure).sum(axis=1, keepdims=True)), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_planted_is_found(temperature: float) -> None:
    assert fit_temperature(*answers(20_000, temperature)) == pytest.approx(temperature, rel=0.04)


def test_the_temperature_minimizes_the_log_loss() -> None:
    log_probabilities, labels = answers(300, 2.0, seed=1)
    best = fit_temperature(log_probabilities, labels)

    def loss(temperature: float) -> float:
        return float(-np.log(soften(log_probabilities, temperature)[np.arange(300), labels]).mean())

    assert loss(best) <= min(loss(t) for t in np.geomspace(0.1, 10, 400)) + 1e-9


def test_a_temperature_that_cannot_be_told_is_one() -> None:
    log_probabilities = np.log(np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert fit_temperature(log_probabilities, np.array([0, 1])) == 1
    assert fit_temperature(np.empty((0, 2)), np.empty(0, dtype=int)) == 1
    assert TEMPERATURES[0] <= fit_temperature(log_probabilities, np.array([1, 0])) <= TEMPERATURES[1] * (1 + 1e-9)


SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
POSITIVE = np.array([0, 0, 0, 1, 0, 0, 1, 1, 1, 1], dtype=bool)


@pytest.mark.parametrize(
    ("rule", "threshold"),
    [
        ("0.25", 0.25),
        ("1", 1.0),
        ("youden", 0.7),  # finds 4 of 5, and takes none of the others
        ("recall@0.8", 0.7),
        ("recall@0.81", 0.4),
        ("recall@1", 0.4),
        ("recall@0", 1.0),
        ("fpr@0", 0.7),
        ("fpr@0.2", 0.6),
        ("fpr@0.4", 0.4),  # the lowest: 0.5 takes as many of the others, and finds fewer
        ("fpr@1", 0.1),
    ],
)
def test_the_threshold_follows_its_rule(rule: str, threshold: float) -> None:
    assert choose_threshold(rule, SCORES, POSITIVE) == pytest.approx(threshold)


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_holds_what_its_rule_says_on_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, positive = rng.integers(0, 7, 80) / 6, rng.integers(0, 2, 80).astype(bool)
    found = scores >= choose_threshold("recall@0.9", scores, positive)
    assert found[positive].mean() >= 0.9
    higher = scores > choose_threshold("recall@0.9", scores, positive)
    assert higher[positive].mean() < 0.9
    found = scores >= choose_threshold("fpr@0.3", scores, positive)
    assert found[~positive].mean() <= 0.3
    best = choose_threshold("youden", scores, positive)

    def index(threshold: float) -> float:
        return (scores >= threshold)[positive].mean() + (scores < threshold)[~positive].mean()

    assert index(best) == pytest.approx(max(index(t) for t in [*np.unique(scores), 1.1]))


@pytest.mark.parametrize("rule", ["youden", "fpr@0.1", "recall@0.5"])
def test_a_class_without_images_leaves_the_threshold_in_the_middle(rule: str) -> None:
    none = np.zeros(3, dtype=bool)
    assert choose_threshold(rule, np.array([0.1, 0.5, 0.9]), none) == 0.5


def test_both_are_fitted_the_threshold_to_calibrated_probabilities() -> None:
    log_probabilities, labels = answers(5000, 3.0)
    found = calibrate(log_probabilities, labels, positive=0, rule="recall@0.95")
    assert found.temperature == pytest.approx(3, rel=0.1)
    probabilities = soften(log_probabilities, found.temperature)[:, 0]
    assert (probabilities >= found.threshold)[labels == 0].mean() == pytest.approx(0.95, abs=0.001)
    assert calibrate(log_probabilities, labels, None, "0.5") == Calibration(found.temperature, 0.5)
