"""Predictions that tests make without a network."""

from collections.abc import Mapping, Sequence

import numpy as np

from maskcls.evaluation.predictions import Predictions

CLASSES = ("WithMask", "WithoutMask")


def predictions_of(
    labels: Sequence[int],
    positive: Sequence[float],
    facts: Mapping[str, np.ndarray] | None = None,
    classes: tuple[str, str] = CLASSES,
) -> Predictions:
    """Predictions for files 0.png, 1.png, ... whose probability of the first class is ``positive``."""
    truth = np.array(labels, dtype=np.int64)
    probabilities = np.stack((np.array(positive, dtype=np.float64), 1 - np.array(positive, dtype=np.float64)), axis=1)
    with np.errstate(divide="ignore"):  # a probability of 0 has an infinite loss
        losses = -np.log(probabilities[np.arange(len(truth)), truth])
    paths = tuple(f"{i}.png" for i in range(len(truth)))
    return Predictions(paths, classes, truth, probabilities, probabilities.argmax(axis=1), losses, facts or {})
