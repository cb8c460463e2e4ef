"""From logits to probabilities and decisions: temperature scaling, and the operating threshold."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities, and probabilities a decision. Fitted on validation images.

    Attributes:
        temperature: divides the logits before the softmax.
        threshold: the positive class is predicted from this probability on; 0.5 for the most probable class.
    """

    temperature: float = 1.0
    threshold: float = 0.5


UNCALIBRATED = Calibration()


class Answers(NamedTuple):
    """What a network says of some images.

    Attributes:
        log_probabilities: float64 [images, classes], without temperature scaling.
        probabilities: float64 [images, classes], with temperature scaling; rows sum to 1.
        predicted: int64 [images], the predicted class.
    """

    log_probabilities: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray


def answers_of(logits: np.ndarray, calibration: Calibration, positive: int | None) -> Answers:
    """Apply a calibration to logits.

    Args:
        logits: float [images, classes].
        calibration: its threshold is used only if there is a positive class.
        positive: index of the positive class, None to predict the most probable class.
    """
    log_probabilities = log_softmax(logits)
    probabilities = soften(log_probabilities, calibration.temperature)
    # the logarithms are in the same order as the probabilities, and free of their rounding
    predicted = log_probabilities.argmax(axis=1)
    if positive is not None and calibration.threshold != UNCALIBRATED.threshold:
        others = log_probabilities.copy()
        others[:, positive] = -np.inf
        is_positive = probabilities[:, positive] >= calibration.threshold
        predicted = np.where(is_positive, positive, others.argmax(axis=1))
    return Answers(log_probabilities, probabilities, predicted)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities: float64, so that none underflows; same shape as ``logits``."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def soften(log_probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at a temperature: float64 [images, classes], rows sum to 1."""
    scaled = log_probabilities / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result
