"""Measures how well the classes can be told apart without the object: by the file, the spectrum, colour or border."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskcls.audit.files import Inspection
from maskcls.progress import progress
from maskcls.wording import counted

# folds of the cross-validation
FOLDS = 5
# resamples of the bootstrap
RESAMPLES = 1000

COLOUR, BORDER = "the mean colour", "the border (the middle left out)"
# evidence that can be the object itself, and when: it is no reason to call an accuracy worthless
CAVEATS = {
    COLOUR: "this may be the colour of the objects themselves",
    BORDER: "this may be the objects themselves, where they reach the edge of the image",
}


class Shortcut(NamedTuple):
    """How well the classes can be told apart by one kind of evidence that should have nothing to do with them.

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
    def caveat(self) -> str:
        """Why the evidence may be harmless, "" where nothing excuses it."""
        return CAVEATS.get(self.name, "")

    @property
    def is_severe(self) -> bool:
        """Whether the whole interval is more than half of the way from guessing to certainty, without a caveat."""
        return self.interval[0] > (1 + self.chance) / 2 and not self.caveat


def why_not_measured(inspection: Inspection, *, labels: np.ndarray, groups: np.ndarray) -> str | None:
    """Say why shortcuts cannot be measured on some files; None where they can."""
    readable = np.array([fact.fault is None for fact in inspection.facts], dtype=bool)
    sizes = [len(np.unique(groups[readable & (labels == label)])) for label in np.unique(labels)]
    if len(sizes) < 2:
        return "there are no two classes to tell apart"
    if min(sizes) < FOLDS:
        return f"a class has only {counted(min(sizes), 'different image')} that can be read, and {FOLDS} are needed"
    return None


def measure_shortcuts(
    inspection: Inspection, *, labels: np.ndarray, groups: np.ndarray, seed: int = 0
) -> list[Shortcut]:
    """Cross-validate gradient-boosted trees on each kind of evidence alone.

    A group is never on both sides of a fold. Files that cannot be read are left out. `why_not_measured` must have
    nothing against it.

    Args:
        labels: int64 [files], positions in the list of classes.
        groups: int64 [files], equal for files of one group.
        seed: seed of the trees, the folds and the bootstrap.

    Returns:
        Shortcuts, the most accurate first.
    """
    readable = np.array([fact.fault is None for fact in inspection.facts])
    facts = [fact for fact in inspection.facts if fact.fault is None]
    evidence = {
        "width, height and bytes of the file": np.array([(f.width, f.height, f.size) for f in facts], dtype=np.float64),
        "the spectrum": inspection.spectra[readable],
        COLOUR: np.array([fact.mean for fact in facts]),
        BORDER: inspection.borders[readable],
    }
    names, labels = np.unique(labels[readable], return_inverse=True)
    groups = groups[readable]
    found = []
    predicted = _cross_validate([*evidence.values()], labels=labels, groups=groups, seed=seed)
    for name, probabilities in zip(evidence, predicted, strict=True):
        # dividing by the number of files makes all classes equally likely
        correct = (probabilities / np.bincount(labels)).argmax(axis=1) == labels
        interval = _bootstrap(correct, labels=labels, groups=groups, seed=seed)
        found.append(Shortcut(name, balanced_accuracy(correct, labels=labels), interval, 1 / len(names)))
    return sorted(found, key=lambda shortcut: -shortcut.accuracy)


def _cross_validate(evidence: Sequence[np.ndarray], *, labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Predict each file from each kind of evidence by a model that was trained without the file's group.

    scikit-learn's trees would start OpenMP threads, which spin while they wait for each other: beside another busy
    program they take 30 times as long. One thread loses little, and models cannot be trained in several threads at the
    same time, because scikit-learn changes the filters of warnings meanwhile, which are the whole process's.

    Args:
        evidence: [files, values] of each kind.
        labels: int64 [files], 0 to the number of classes.

    Returns:
        Probabilities, float64 [kinds, files, classes].
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits

    classes = int(labels.max()) + 1
    rounds = int(np.clip(200 // classes, 10, 50))  # each round grows a tree for each class
    model = HistGradientBoostingClassifier(
        learning_rate=min(5 / rounds, 0.3),
        max_iter=rounds,
        min_samples_leaf=int(np.clip(len(labels) // 50, 2, 20)),  # of a few files, 20 would be most
        early_stopping=False,
        random_state=seed,
    )
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels, groups))
    jobs = [(kind, *fold) for kind in range(len(evidence)) for fold in folds]
    probabilities = np.zeros((len(evidence), len(labels), classes))
    with threadpool_limits(limits=1, user_api="openmp"):
        for kind, trained, judged in progress(jobs, total=len(jobs), phase="shortcuts", unit="models"):
            model.fit(evidence[kind][trained], labels[trained])
            # a class may have all its groups in one fold
            probabilities[kind, judged[:, None], model.classes_] = model.predict_proba(evidence[kind][judged])
    return probabilities


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
