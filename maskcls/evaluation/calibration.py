"""What is fitted on validation and applied to test: the probabilities' temperature and the operating threshold."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# bounds of the temperature: beyond them a few images would decide
TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities, and these a decision.

    Attributes:
        temperature: the logits are divided by it before the softmax.
        threshold: probability of the positive class from which on it is predicted; 0.5 for the most probable class.
    """

    temperature: float = 1.0
    threshold: float = 0.5

    @classmethod
    def of(cls, checkpoint: Mapping[str, Any]) -> "Calibration":
        """What a checkpoint holds."""
        return cls(checkpoint["temperature"], checkpoint["threshold"])


UNCALIBRATED = Calibration()


def calibrate(log_probabilities: np.ndarray, labels: np.ndarray, positive: int | None, rule: str) -> Calibration:
    """Fit temperature and threshold to validation images.

    Args:
        log_probabilities: float64 [images, classes], of the uncalibrated network.
        labels: int64 [images].
        positive: the positive class, None for none: then the threshold is 0.5.
        rule: as `choose_threshold` takes it.
    """
    temperature = fit_temperature(log_probabilities, labels)
    if positive is None:
        return Calibration(temperature)
    probabilities = soften(log_probabilities, temperature)[:, positive]
    return Calibration(temperature, choose_threshold(rule, probabilities, labels == positive))


def soften(log_probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at a temperature: float64 [images, classes], rows sum to 1."""
    from scipy.special import softmax

    result: np.ndarray = softmax(log_probabilities / temperature, axis=1)
    return result


def fit_temperature(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of the smallest log loss (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    Returns:
        1 where it cannot be told: all images are right, or there is none.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    if not len(labels) or (log_probabilities.argmax(axis=1) == labels).all():
        return 1.0
    rows = np.arange(len(labels))

    def log_loss(logarithm: float) -> float:
        return -float(log_softmax(log_probabilities / np.exp(logarithm), axis=1)[rows, labels].mean())

    return float(np.exp(minimize_scalar(log_loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def choose_threshold(rule: str, probabilities: np.ndarray, is_positive: np.ndarray) -> float:
    """The probability from which on an image is taken for positive.

    Args:
        rule: a number; ``youden``, which makes sensitivity + specificity largest (Youden 1950); ``recall@R``, the
            highest that finds a share R of the positives; ``fpr@F``, the lowest that takes a share F of the others, or
            less, for positive.
        probabilities: float64 [images], of the positive class.
        is_positive: bool [images].

    Returns:
        0.5 where a rule needs images of a class that there are none of.
    """
    kind, _, wanted = rule.partition("@")
    if re.fullmatch(r"[0-9.eE+-]+", rule):
        return float(rule)
    positives, negatives = np.sort(probabilities[is_positive]), np.sort(probabilities[~is_positive])
    if not len(positives) or (kind != "recall" and not len(negatives)):
        return 0.5
    if kind == "recall":
        needed = int(np.ceil(float(wanted) * len(positives) - 1e-9))
        return float(positives[len(positives) - max(needed, 1)])
    candidates = np.append(np.unique(probabilities), np.nextafter(probabilities.max(), 2))
    specificity = np.searchsorted(negatives, candidates, side="left") / len(negatives)
    if kind == "fpr":
        return float(candidates[np.argmax(1 - specificity <= float(wanted) + 1e-12)])
    sensitivity = 1 - np.searchsorted(positives, candidates, side="left") / len(positives)
    return float(candidates[np.argmax(sensitivity + specificity)])
