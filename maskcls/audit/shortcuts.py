"""What a classifier reaches without seeing what the pictures show: from the file's size, the sharpness, the border."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskcls.audit.files import FileFacts, Inspection

# of the cross-validation
FOLDS = 5
# resamples of the bootstrap
RESAMPLES = 1000


class Shortcut(NamedTuple):
    """How well the classes are told apart by something beside the point.

    Attributes:
        name: what alone was looked at.
        accuracy: mean of the classes' recalls, of files whose photographs were not learned from.
        interval: 95 % of bootstrapped accuracies, whole photographs being drawn.
        chance: the accuracy of guessing.
    """

    name: str
    accuracy: float
    interval: tuple[float, float]
    chance: float

    @property
    def is_severe(self) -> bool:
        """Whether more than half of the way from guessing to certainty is gone, beyond doubt."""
        return self.interval[0] > (1 + self.chance) / 2


def measure_shortcuts(
    inspection: Inspection, labels: np.ndarray, photographs: np.ndarray, seed: int = 0
) -> list[Shortcut]:
    """Cross-validate a small model, gradient-boosted trees, on each kind of evidence alone, the strongest first.

    Copies of one photograph are never on both sides of a fold. Files that cannot be read are left out.

    Args:
        labels: int64 [files], positions in the list of classes.
        photographs: int64 [files], equal for files that show the same.

    Returns:
        An empty list where some class has fewer photographs than there are folds.
    """
    readable = np.array([fact.fault is None for fact in inspection.facts])
    labels, photographs = labels[readable], photographs[readable]
    smallest = min((len(np.unique(photographs[labels == label])) for label in np.unique(labels)), default=0)
    if len(np.unique(labels)) < 2 or smallest < FOLDS:
        return []
    facts = [fact for fact in inspection.facts if fact.fault is None]
    evidence = {
        "width, height and bytes of the file": _numbers(facts),
        "the spectrum": inspection.spectra[readable],
        "the mean colour": np.array([fact.mean for fact in facts]),
        "the border (the middle left out)": inspection.borders[readable],
    }
    found = [_cross_validate(name, values, labels, photographs, seed) for name, values in evidence.items()]
    return sorted(found, key=lambda shortcut: -shortcut.accuracy)


def _numbers(facts: Sequence[FileFacts]) -> np.ndarray:
    return np.array([(fact.width, fact.height, fact.size) for fact in facts], dtype=np.float64)


def _cross_validate(name: str, values: np.ndarray, labels: np.ndarray, photographs: np.ndarray, seed: int) -> Shortcut:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    smallest_leaf = int(np.clip(len(values) // 50, 2, 20))  # of few files, 20 would be most
    model = HistGradientBoostingClassifier(
        max_iter=50, min_samples_leaf=smallest_leaf, early_stopping=False, random_state=seed
    )
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    probabilities = cross_val_predict(model, values, labels, groups=photographs, cv=folds, method="predict_proba")
    classes, counts = np.unique(labels, return_counts=True)
    # divided by their share of the files, classes are as likely as each other
    correct = classes[(probabilities / counts).argmax(axis=1)] == labels
    accuracy = balanced_accuracy(correct, labels)
    interval = _bootstrap(correct, labels, photographs, seed)
    return Shortcut(name, accuracy, interval, 1 / len(np.unique(labels)))


def balanced_accuracy(correct: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the classes' shares of correct files."""
    return float(np.mean([correct[labels == label].mean() for label in np.unique(labels)]))


def _bootstrap(correct: np.ndarray, labels: np.ndarray, photographs: np.ndarray, seed: int) -> tuple[float, float]:
    """Percentile interval of the balanced accuracy; photographs are drawn, each with all of its files."""
    _, photograph = np.unique(photographs, return_inverse=True)
    classes = np.unique(labels)
    rights = np.stack([np.bincount(photograph, correct & (labels == c)) for c in classes])
    counts = np.stack([np.bincount(photograph, labels == c) for c in classes])
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        weights = np.bincount(generator.integers(counts.shape[1], size=counts.shape[1]), minlength=counts.shape[1])
        drawn.append(np.nanmean((rights @ weights) / np.maximum(counts @ weights, 1)))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)
