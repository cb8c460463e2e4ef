"""The files of a data set with their splits, classes and groups, and what follows from these alone."""

from dataclasses import dataclass

import numpy as np

from maskcls.audit.duplicates import FileGroups
from maskcls.data.index import Index


@dataclass(frozen=True)
class Labelled:
    """Split, class and group of each file, split after split.

    Attributes:
        splits, classes: str [files], names; the class is "" where files have none.
        groups: which files show one image.
    """

    splits: np.ndarray
    classes: np.ndarray
    groups: FileGroups

    @classmethod
    def of(cls, index: Index, groups: FileGroups) -> "Labelled":
        """Describe the files of an index."""
        splits = [name for name, split in index.splits.items() for _ in split.paths]
        classes = [index.classes[label] for split in index.splits.values() for label in split.labels]
        return cls(np.array(splits), np.array(classes), groups)

    @property
    def split_names(self) -> list[str]:
        """Names of the splits, in their order."""
        return list(dict.fromkeys(self.splits.tolist()))

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted(set(self.classes.tolist()))


@dataclass(frozen=True)
class Leak:
    """Number of files of one class in one split, and of those among them whose group is also in train."""

    split: str
    class_name: str
    files: int
    also_in_train: int


def is_leaked(files: Labelled) -> np.ndarray:
    """Tell which files are not in train although their group is, bool [files].

    Edited copies count as well, because their image was trained on.
    """
    in_train = files.splits == "train"
    leaked: np.ndarray = ~in_train & np.isin(files.groups.of_file, files.groups.of_file[in_train])
    return leaked


def leaks(files: Labelled) -> list[Leak]:
    """Count the files whose group is also in train, for each class of each other split; none where train is missing."""
    if "train" not in files.splits:
        return []
    leaked = is_leaked(files)
    found = []
    for split in files.split_names:
        for name in files.class_names:
            chosen = (files.splits == split) & (files.classes == name)
            if split != "train" and chosen.any():
                found.append(Leak(split, name, int(chosen.sum()), int(leaked[chosen].sum())))
    return found


def conflicts(files: Labelled) -> list[list[int]]:
    """List the positions of the files of each group that has several classes. Edited copies do not count."""
    return [part for part in groups_of(files.groups.unedited) if len(set(files.classes[part].tolist())) > 1]


def groups_of(numbers: np.ndarray) -> list[list[int]]:
    """List the positions of the files of each group, from the group of each file, int64 [files]."""
    order = np.argsort(numbers, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
    return [part.tolist() for part in parts if len(part)]
