"""Conclusions: which findings there are, how severe they are, and what they say."""

import numpy as np
import pytest
from findings import ORDINARY, fact, inspected

from maskcls.audit.duplicates import EDITED, IDENTICAL_FILE, TRANSFORMED, Link, group
from maskcls.audit.files import FileFacts, Inspection
from maskcls.audit.findings import Finding, conclude
from maskcls.audit.issues import list_issues
from maskcls.audit.labelled import Labelled
from maskcls.audit.shortcuts import BORDER, Shortcut
from maskcls.wording import counted


def of_kind(kind: str, findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.kind == kind]


def concluded(
    rows: list[tuple[str, str]],
    links: list[Link] | None = None,
    inspection: Inspection | None = None,
    shortcuts: tuple[Shortcut, ...] = (),
    few_features: int = 0,
) -> list[Finding]:
    """Conclude on files given as split and class; they are ordinary ones if there is no inspection of them."""
    splits, classes = zip(*rows, strict=True)
    files = Labelled(np.array(splits), np.array(classes), group(len(rows), links or []))
    inspection = inspection or inspected([fact(f"{i}.png") for i in range(len(rows))])
    issues = list_issues(inspection, files, links or [])
    return conclude(inspection, files, links or [], shortcuts, issues, few_features)


def texts(kind: str, findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.severity, finding.text) for finding in of_kind(kind, findings)]


@pytest.mark.parametrize(("leaked", "severity"), [(2, "severe"), (1, "doubtful"), (0, None)])
def test_a_leak_of_more_than_a_hundredth_is_severe(leaked: int, severity: str | None) -> None:
    rows = [("train", "A")] * 10 + [("val", "A")] * 100
    found = of_kind("leak", concluded(rows, [Link(i, 10 + i, IDENTICAL_FILE) for i in range(leaked)]))
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    assert [finding.files for finding in found] == ([("10.png", "11.png")[:leaked]] if severity else [])


def test_a_leak_names_the_classes_that_have_one() -> None:
    rows = [("train", name) for name in "ABCC"] + [("val", name) for name in "ABC"] + [("test", "C")]
    links = [Link(2, 6, IDENTICAL_FILE), Link(3, 7, IDENTICAL_FILE)]
    assert texts("leak", concluded(rows, links)) == [
        (
            "severe",
            "1 of 3 val files shows an image that is also in train (1 of 1 in C): accuracy on it measures memory",
        ),
        (
            "severe",
            "1 of 1 test file shows an image that is also in train (1 of 1 in C): accuracy on it measures memory",
        ),
    ]
    (without_classes,) = texts(
        "leak",
        concluded([("train", ""), ("val", ""), ("val", "")], [Link(0, 1, IDENTICAL_FILE), Link(0, 2, IDENTICAL_FILE)]),
    )
    assert without_classes[1].startswith("2 of 2 val files show images that are also in train: accuracy on them")


def test_images_under_two_classes_are_counted() -> None:
    rows = [("all", "A"), ("all", "B"), ("all", "B"), ("all", "A")]
    (found,) = of_kind("conflict", concluded(rows, [Link(0, 1, IDENTICAL_FILE)]))
    assert (found.severity, found.text) == ("severe", "1 image is filed under more than one class")
    assert found.files == ("0.png", "1.png")
    two = concluded(rows, [Link(0, 1, IDENTICAL_FILE), Link(2, 3, IDENTICAL_FILE)])
    assert texts("conflict", two) == [("severe", "2 images are filed under more than one class")]
    edited = concluded(rows, [Link(0, 1, EDITED)])
    assert of_kind("conflict", edited) == []
    assert texts("duplicates", edited) == [
        ("note", "1 pair of files shows one image with a part replaced: related, but not near-duplicates")
    ]


def test_many_files_of_few_images_are_said() -> None:
    rows = [("all", "A")] * 20 + [("all", "B")] * 20
    links = [Link(5 * (i // 5), i, TRANSFORMED) for i in range(20) if i % 5]
    assert texts("duplicates", concluded(rows, links)) == [
        ("doubtful", "the 20 files of A show 4 different images, one of them 5 times")
    ]
    assert texts("duplicates", concluded([("all", "")] * 20, links[:1])) == [
        ("note", "the 20 files show 19 different images, one of them 2 times")
    ]


def test_a_few_copies_in_many_classes_are_one_line() -> None:
    rows = [("all", name) for name in "ABCD" for _ in range(20)]
    links = [Link(20 * number, 20 * number + 1, TRANSFORMED) for number in range(4)]
    links.append(Link(60, 62, TRANSFORMED))
    assert texts("duplicates", concluded(rows, links)) == [
        ("note", "5 files show an image of their class once more (1 in A, 1 in B, 1 in C, 2 in D)")
    ]


def test_files_with_few_features_are_said() -> None:
    copies = "too few corners: copies that are turned, cropped or mirrored are not found"
    rows = [("all", "A"), ("all", "A")]
    assert texts("duplicates", concluded(rows, few_features=1)) == [("note", f"1 of 2 files has {copies}")]
    assert texts("duplicates", concluded(rows, few_features=2)) == [("note", f"2 of 2 files have {copies}")]


@pytest.mark.parametrize(
    ("interval", "severity"),
    [((0.76, 0.9), "severe"), ((0.7, 0.9), "doubtful"), ((0.56, 0.6), "doubtful"), ((0.54, 0.6), None)],
)
def test_a_shortcut_is_severe_from_half_of_the_way_on(interval: tuple[float, float], severity: str | None) -> None:
    shortcut = Shortcut("the size", 0.8, interval, 0.5)
    found = of_kind("shortcut", concluded([("all", "A")], shortcuts=(shortcut,)))
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    if found:
        assert found[0].text == (
            f"the size alone can tell the classes apart with a mean recall of 80.0 % (95 % interval "
            f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}, guessing 50.0 %)"
        )


def test_a_border_may_be_the_object_itself() -> None:
    ((severity, text),) = texts(
        "shortcut", concluded([("all", "A")], shortcuts=(Shortcut(BORDER, 0.9, (0.8, 1), 0.1),))
    )
    assert severity == "doubtful"
    assert text.endswith("guessing 10.0 %); this may be the objects themselves, where they reach the edge of the image")


@pytest.mark.parametrize(
    ("peaks", "found"),
    [
        ((4095, 65535), [("severe", "all 2 images of A {}: brightness tells the classes apart")]),
        ((4095, 4095), [("doubtful", "all 2 images of A {}"), ("doubtful", "all 2 images of B {}")]),
        ((8191, 65535), []),
    ],
)
def test_classes_as_dark_as_12_bits_in_16_are_named(peaks: tuple[int, int], found: list[tuple[str, str]]) -> None:
    rows = [("all", "A"), ("all", "A"), ("all", "B"), ("all", "A")]
    facts = [fact("0.png"), fact("1.png"), fact("2.png"), FileFacts("broken.png", 1, fault="the file is empty")]
    looks = {
        i: ORDINARY._replace(peak=round(peak / 257) / 255)
        for i, peak in enumerate((peaks[0], peaks[0], peaks[1], 65535))
    }
    said = "are so dark that they look like 12-bit values in 16-bit files"
    expected = [(severity, text.format(said).replace("2 images of B", "1 image of B")) for severity, text in found]
    assert texts("shortcut", concluded(rows, inspection=inspected(facts, looks))) == expected


def test_imbalance_within_a_split_is_said() -> None:
    def of_counts(**counts: int) -> list[tuple[str, str]]:
        rows = [("train", name) for name, count in counts.items() for _ in range(count)]
        return texts("imbalance", concluded(rows))

    assert of_counts(A=29, B=10) == []
    look = "look at the recall of each class, not only at the accuracy"
    assert of_counts(A=30, B=10) == [("note", f"train has 3 times as many images of A (30) as of B (10): {look}")]
    assert of_counts(A=5, B=60, C=20) == [
        ("doubtful", f"train has 12 times as many images of B (60) as of A (5): {look}")
    ]


def test_a_split_without_a_class_is_severe() -> None:
    rows = [("train", "A"), ("train", "B"), ("train", "C"), ("val", "B")]
    assert texts("imbalance", concluded(rows)) == [("severe", "val has no image of A, C")]
    rows = [("train", name) for name in "ABCDEFGH"] + [("val", "H")]
    assert texts("imbalance", concluded(rows)) == [("severe", "val has no image of A, B, C, D, E and 2 more")]
    rows = [("train", "A"), ("train", "B "), ("val", "A")]
    assert texts("imbalance", concluded(rows)) == [("severe", "val has no image of 'B '")]


@pytest.mark.parametrize(
    ("validated", "found"),
    [
        ((50, 50), []),
        ((60, 40), []),
        ((20, 80), [("note", "50 % of train and 20 % of val are A")]),
        ((1, 2), []),
    ],
)
def test_other_shares_of_the_classes_than_in_train_are_said_if_not_by_chance(
    validated: tuple[int, int], found: list[tuple[str, str]]
) -> None:
    rows = [("train", "A"), ("train", "B")] * 100 + [("val", "A")] * validated[0] + [("val", "B")] * validated[1]
    assert [told for told in texts("imbalance", concluded(rows)) if "%" in told[1]] == found


def test_bad_and_odd_files_are_named() -> None:
    facts = [
        fact("good.png"),
        FileFacts("broken.png", 4, fault="not an image"),
        fact("cut.jpg", format="JPEG", damage="cut off"),
        fact("black.png", mean=(0.0,) * 3, deviation=(0.0,) * 3),
        fact("lies.png", format="JPEG"),
        fact("grey.png", mode="L"),
        fact("wide.png", width=10),
        fact("name\udcff.png"),
        fact("empty.png", has_face=False),
        fact("alone.png", has_face=False),
    ]
    findings = concluded([("all", "A")] * len(facts), inspection=inspected(facts))
    assert {finding.text: finding.files for finding in findings} == {
        "1 of 10 files cannot be read": ("broken.png",),
        "1 of 10 files is cut off: its end is missing": ("cut.jpg",),
        "1 of 10 files has a single colour": ("black.png",),
        "2 of 10 files have no face that was found": ("empty.png", "alone.png"),
        "1 of 10 files has a suffix that does not fit its format": ("lies.png",),
        "1 of 10 files has a name that is not UTF-8": ("name\udcff.png",),
        "1 of 10 files is not RGB (1 L)": ("grey.png",),
        "1 of 10 files is not square and will be made so, as data.resize says": ("wide.png",),
    }
    assert [finding.severity for finding in findings] == ["severe"] + ["doubtful"] * 2 + ["note"] * 5


def test_what_most_files_have_is_one_note_without_names() -> None:
    facts = [fact(f"{i}.png", width=10, mode="L") for i in range(3)] + [fact("square.png")]
    findings = concluded([("all", "A")] * 4, inspection=inspected(facts))
    assert [(finding.kind, finding.severity, finding.text, finding.files) for finding in findings] == [
        ("oddity", "note", "3 of 4 files are not RGB (3 L)", ()),
        ("oddity", "note", "3 of 4 files are not square and will be made so, as data.resize says", ()),
    ]


def test_good_data_has_no_findings() -> None:
    assert concluded([("train", "A"), ("train", "B"), ("val", "A"), ("val", "B")]) == []


def test_findings_of_one_severity_are_listed_by_kind() -> None:
    rows = [("train", "A"), ("train", "B"), ("train", "B"), ("train", "B"), ("val", "B"), ("val", "A")]
    facts = [*(fact(f"{i}.png") for i in range(4)), fact("wide.png", width=10), FileFacts("broken.png", 4, fault="x")]
    links = [Link(0, 1, TRANSFORMED), Link(2, 3, TRANSFORMED), Link(1, 4, EDITED)]
    found = concluded(rows, links, inspected(facts), (Shortcut("the size", 1.0, (1.0, 1.0), 0.5),))
    assert [(finding.severity, finding.kind) for finding in found] == [
        ("severe", "leak"),
        ("severe", "shortcut"),
        ("severe", "bad_file"),
        ("severe", "conflict"),
        ("doubtful", "duplicates"),
        ("note", "imbalance"),
        ("note", "duplicates"),
        ("note", "oddity"),
    ]


@pytest.mark.parametrize(("number", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_a_noun_has_the_form_of_its_number(number: int, text: str) -> None:
    assert counted(number, "file") == text
