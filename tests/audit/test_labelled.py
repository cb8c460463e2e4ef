"""Splits, classes and groups together: leaks, conflicts, and the files of each group."""

import numpy as np
from findings import labelled

from maskcls.audit.duplicates import FileGroups
from maskcls.audit.labelled import Labelled, Leak, conflicts, groups_of, is_leaked, leaks


def test_files_whose_image_is_in_train_are_counted_by_split_and_class() -> None:
    files = labelled(
        [("train", "A", 1), ("train", "B", 2), ("val", "A", 1), ("val", "A", 3), ("val", "B", 4), ("test", "B", 2)]
    )
    assert leaks(files) == [Leak("val", "A", 2, 1), Leak("val", "B", 1, 0), Leak("test", "B", 1, 1)]
    assert is_leaked(files).tolist() == [False, False, True, False, False, True]


def test_data_without_splits_has_no_leak() -> None:
    files = labelled([("all", "A", 1), ("all", "A", 1)])
    assert leaks(files) == []
    assert not is_leaked(files).any()


def test_an_image_of_two_classes_is_a_conflict_unless_it_was_edited() -> None:
    files = labelled([("all", "A", 1), ("all", "B", 1), ("all", "B", 2), ("all", "A", 3)])
    assert conflicts(files) == [[0, 1]]
    related = Labelled(files.splits, files.classes, FileGroups(files.groups.of_file, np.arange(4), ("",) * 4))
    assert conflicts(related) == []


def test_names_and_groups_are_listed() -> None:
    files = labelled([("val", "B", 1), ("train", "A", 0), ("val", "A", 1)])
    assert files.split_names == ["val", "train"]
    assert files.class_names == ["A", "B"]
    assert groups_of(files.groups.of_file) == [[1], [0, 2]]
    assert groups_of(np.empty(0, dtype=np.int64)) == []
