"""Fitting the temperature and the operating threshold on validation images."""

import re

import numpy as np

from maskcls.models.calibration import Calibration, soften

# bounds of the temperature: beyond them a few images would decide
TEMPERATURES = (0.05, 20.0)


def calibrate(log_probabilities: np.ndarray, labels: np.ndarray, positive: int | None, rule: str) -> Calibration:
    """Fit temperature and threshold.

    Args:
        log_probabilities: float64 [images, classes], without temperature scaling.
        labels: int64 [images].
        positive: index of the positive class; without one the threshold is 0.5.
        rule: as `choose_threshold` takes it.
    """
    temperature = fit_temperature(log_probabilities, labels)
    if positive is None:
        return Calibration(temperature)
    probabilities = soften(log_probabilities, temperature)[:, positive]
    return Calibration(temperature, choose_threshold(rule, probabilities, labels == positive))


def fit_temperature(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the smallest log loss (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    Returns:
        1 if there are no images, or all are predicted right: then the loss has no minimum.
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
    """The operating threshold: an image is predicted positive from this probability on.

    Args:
        rule: a number; or ``youden``, the threshold with the largest sensitivity + specificity (Youden 1950,
            https://doi.org/10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3); or ``recall@R``, the highest
            threshold with a recall of at least R; or ``fpr@F``, the lowest threshold with a false positive rate of at
            most F.
        probabilities: float64 [images], of the positive class.
        is_positive: bool [images].

    Returns:
        0.5 if the rule needs images of a class that has none.
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
