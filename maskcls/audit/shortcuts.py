"""Measures how well the classes can be told apart without seeing a face: by file size, spectrum, colour or border."""

from typing import NamedTuple

import numpy as np

from maskcls.audit.files import Inspection

# folds of the cross-validation
FOLDS = 5
# resamples of the bootstrap
RESAMPLES = 1000


class Shortcut(NamedTuple):
    """How well the classes can be told apart by one kind of evidence that has nothing to do with faces.

    Attributes:
        name: the kind of evidence.
        accuracy: balanced accuracy (mean recall of the classes) on files whose groups the model was not trained on.
        interval: 95 % interval of the accuracy, from a bootstrap over groups.
        chance: balanced accuracy of guessing.
    """

    name: str
    accuracy: float
    interval: tuple[float, float]
    chance: float

    @property
    def is_severe(self) -> bool:
        """Whether the whole interval is more than half of the way from guessing to certainty."""
        return self.interval[0] > (1 + self.chance) / 2


def measure_shortcuts(
    inspection: Inspection, *, labels: np.ndarray, groups: np.ndarray, seed: int = 0
) -> list[Shortcut]:
    """Cross-validate gradient-boosted trees on each kind of evidence alone.

    A group is never on both sides of a fold. Files that cannot be read are left out.

    Args:
        labels: int64 [files], positions in the list of classes.
        groups: int64 [files], equal for files of one group.
        seed: seed of the trees, the folds and the bootstrap.

    Returns:
        Shortcuts, the most accurate first; an empty list where a class has fewer groups than there are folds.
    """
    readable = np.array([fact.fault is None for fact in inspection.facts])
    labels, groups = labels[readable], groups[readable]
    smallest = min((len(np.unique(groups[labels == label])) for label in np.unique(labels)), default=0)
    if len(np.unique(labels)) < 2 or smallest < FOLDS:
        return []
    facts = [fact for fact in inspection.facts if fact.fault is None]
    evidence = {
        "width, height and bytes of the file": np.array([(f.width, f.height, f.size) for f in facts], dtype=np.float64),
        "the spectrum": inspection.spectra[readable],
        "the mean colour": np.array([fact.mean for fact in facts]),
        "the border (the middle left out)": inspection.borders[readable],
    }
    found = [_measure(name, values, labels=labels, groups=groups, seed=seed) for name, values in evidence.items()]
    return sorted(found, key=lambda shortcut: -shortcut.accuracy)


def _measure(name: str, values: np.ndarray, *, labels: np.ndarray, groups: np.ndarray, seed: int) -> Shortcut:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    smallest_leaf = int(np.clip(len(values) // 50, 2, 20))  # of a few files, 20 would be most
    model = HistGradientBoostingClassifier(
        max_iter=50, min_samples_leaf=smallest_leaf, early_stopping=False, random_state=seed
    )
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    probabilities = cross_val_predict(model, values, labels, groups=groups, cv=folds, method="predict_proba")
    classes, counts = np.unique(labels, return_counts=True)
    # dividing by the number of files makes all classes equally likely
    correct = classes[(probabilities / counts).argmax(axis=1)] == labels
    accuracy = balanced_accuracy(correct, labels=labels)
    interval = _bootstrap(correct, labels=labels, groups=groups, seed=seed)
    return Shortcut(name, accuracy, interval, 1 / len(np.unique(labels)))


def balanced_accuracy(correct: np.ndarray, *, labels: np.ndarray) -> float:
    """Compute the mean recall of the classes, from whether each file is ``correct``, bool [files], and its label."""
    return float(np.mean([correct[labels == label].mean() for label in np.unique(labels)]))


def _bootstrap(correct: np.ndarray, *, labels: np.ndarray, groups: np.ndarray, seed: int) -> tuple[float, float]:
    """Compute a percentile interval of the balanced accuracy; groups are resampled, each with all of its files."""
    _, group = np.unique(groups, return_inverse=True)
    classes = np.unique(labels)
    rights = np.stack([np.bincount(group, correct & (labels == c)) for c in classes])
    counts = np.stack([np.bincount(group, labels == c) for c in classes])
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        weights = np.bincount(generator.integers(counts.shape[1], size=counts.shape[1]), minlength=counts.shape[1])
        drawn.append(np.nanmean((rights @ weights) / np.maximum(counts @ weights, 1)))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)
