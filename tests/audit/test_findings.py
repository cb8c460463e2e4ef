"""Conclusions: which findings there are, how severe they are, and what they say."""

from typing import Any

import numpy as np
import pytest

from maskcls.audit.duplicates import EDITED, TRANSFORMED, FileGroups, Link
from maskcls.audit.files import FileFacts
from maskcls.audit.findings import Finding, Labelled, Leak, conclude, conflicts, leaks
from maskcls.audit.shortcuts import Shortcut


def labelled(rows: list[tuple[str, str, int]]) -> Labelled:
    """Files given as split, class and group."""
    splits, classes, groups = zip(*rows, strict=True)
    numbers = np.array(groups)
    return Labelled(np.array(splits), np.array(classes), FileGroups(numbers, numbers, ("",) * len(rows)))


def fact(path: str, **changes: Any) -> FileFacts:
    usual: dict[str, Any] = {
        "size": 9,
        "format": "PNG",
        "mode": "RGB",
        "width": 8,
        "height": 8,
        "mean": (0.5,) * 3,
        "deviation": (0.1,) * 3,
    }
    return FileFacts(path, **(usual | changes))


def of_kind(kind: str, findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.kind == kind]


def concluded(files: Labelled, *links: Link, shortcuts: tuple[Shortcut, ...] = ()) -> list[Finding]:
    return conclude([fact(f"{i}.png") for i in range(len(files.splits))], files, links, shortcuts)


def test_files_whose_photograph_is_in_train_are_counted_by_split_and_class() -> None:
    files = labelled(
        [("train", "A", 1), ("train", "B", 2), ("val", "A", 1), ("val", "A", 3), ("val", "B", 4), ("test", "B", 2)]
    )
    assert leaks(files) == [Leak("val", "A", 2, 1), Leak("val", "B", 1, 0), Leak("test", "B", 1, 1)]


@pytest.mark.parametrize(("leaked", "severity"), [(2, "severe"), (1, "doubtful"), (0, None)])
def test_a_leak_of_more_than_a_hundredth_is_severe(leaked: int, severity: str | None) -> None:
    rows = [("train", "A", i) for i in range(10)] + [("val", "A", i if i < leaked else 100 + i) for i in range(100)]
    found = of_kind("leak", concluded(labelled(rows)))
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    if found:
        assert found[0].text.startswith(f"{leaked} of 100 val files show a photograph that is also in train")


def test_data_without_splits_has_no_leak() -> None:
    assert leaks(labelled([("all", "A", 1), ("all", "A", 1)])) == []


def test_a_photograph_of_two_classes_is_a_conflict_unless_it_was_edited() -> None:
    files = labelled([("all", "A", 1), ("all", "B", 1), ("all", "B", 2), ("all", "A", 3)])
    assert conflicts(files) == [[0, 1]]
    (found,) = of_kind("conflict", concluded(files))
    assert (found.severity, found.text) == ("severe", "1 photographs are filed under more than one class")
    assert found.files == ("0.png", "1.png")
    groups = FileGroups(files.groups.of_file, np.arange(4), ("",) * 4)
    related = Labelled(files.splits, files.classes, groups)
    assert conflicts(related) == []
    (note,) = of_kind("duplicates", concluded(related, Link(0, 1, EDITED)))
    assert note.text.startswith("1 pairs of files show one photograph with a part replaced")


def test_many_files_of_few_photographs_are_said() -> None:
    files = labelled([("all", "A", i // 5) for i in range(20)] + [("all", "B", 100 + i) for i in range(20)])
    (found,) = of_kind("duplicates", concluded(files, Link(0, 1, TRANSFORMED)))
    assert (found.severity, found.text) == ("doubtful", "the 20 files of A show 4 photographs, one of them 5 times")


@pytest.mark.parametrize(
    ("interval", "severity"),
    [((0.76, 0.9), "severe"), ((0.7, 0.9), "doubtful"), ((0.56, 0.6), "doubtful"), ((0.54, 0.6), None)],
)
def test_a_shortcut_is_severe_from_half_of_the_way_on(interval: tuple[float, float], severity: str | None) -> None:
    shortcut = Shortcut("the size", 0.8, interval, 0.5)
    found = of_kind("shortcut", concluded(labelled([("all", "A", 0)]), shortcuts=(shortcut,)))
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    if found:
        assert found[0].text == (
            f"the size alone, without seeing a face, can tell the classes apart with a mean recall of 80.0 % "
            f"(95 % interval {100 * interval[0]:.1f} to {100 * interval[1]:.1f}, guessing 50.0 %)"
        )


def test_bad_and_odd_files_are_named() -> None:
    facts = [
        fact("good.png"),
        FileFacts("broken.png", 4, fault="not an image"),
        fact("cut.jpg", format="JPEG", is_truncated=True),
        fact("black.png", mean=(0.0,) * 3, deviation=(0.0,) * 3),
        fact("lies.png", format="JPEG"),
        fact("grey.png", mode="L"),
        fact("wide.png", width=16),
        fact("name\udcff.png"),
    ]
    files = labelled([("all", "A", i) for i in range(len(facts))])
    findings = conclude(facts, files, [], [])
    assert {finding.text: finding.files for finding in findings if finding.kind in ("bad_file", "oddity")} == {
        "1 of 8 files cannot be read": ("broken.png",),
        "1 of 8 files are cut off: their end is missing": ("cut.jpg",),
        "1 of 8 files have a single colour": ("black.png",),
        "1 of 8 files have a suffix that does not fit their format": ("lies.png",),
        "1 of 8 files have names that are not UTF-8": ("name\udcff.png",),
        "1 of 8 files are not RGB (1 L)": ("grey.png",),
        "1 of 8 files are not square and will be squeezed": ("wide.png",),
    }
    assert [finding.severity for finding in findings] == ["severe"] + ["doubtful"] * 2 + ["note"] * 4


def test_good_data_has_no_findings() -> None:
    assert concluded(labelled([("train", "A", 0), ("train", "B", 1), ("val", "A", 2), ("val", "B", 3)])) == []


def test_findings_of_one_severity_are_listed_by_kind() -> None:
    files = labelled([("train", "A", 0), ("train", "B", 0), ("train", "B", 2), ("train", "B", 2), ("val", "B", 0)])
    facts = [*(fact(f"{i}.png") for i in range(3)), fact("wide.png", width=16), FileFacts("broken.png", 4, fault="x")]
    found = conclude(facts, files, [Link(0, 1, EDITED)], [Shortcut("the size", 1.0, (1.0, 1.0), 0.5)])
    assert [(finding.severity, finding.kind) for finding in found] == [
        ("severe", "leak"),
        ("severe", "shortcut"),
        ("severe", "bad_file"),
        ("severe", "conflict"),
        ("doubtful", "duplicates"),
        ("note", "duplicates"),
        ("note", "oddity"),
    ]
