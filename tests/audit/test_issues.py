"""What is wrong with single files: a row for each file and finding, with the file that it is a copy of."""

import numpy as np
import pytest
from findings import ORDINARY, fact, inspected, labelled

from maskcls.audit.duplicates import EDITED, IDENTICAL_FILE, REENCODED, TRANSFORMED, Link, group
from maskcls.audit.files import FileFacts
from maskcls.audit.geometry import Match
from maskcls.audit.issues import Issue, list_issues, severity_of_leaks, usual_oddities
from maskcls.audit.labelled import Labelled


def agreeing(agreement: float) -> Match:
    return Match(np.eye(2, 3), 20, agreement, 0.0)


def issues_of(rows: list[tuple[str, str]], links: list[Link]) -> list[Issue]:
    """Issues of ordinary files, given as split and class."""
    splits, classes = zip(*rows, strict=True)
    files = Labelled(np.array(splits), np.array(classes), group(len(rows), links))
    return list_issues(inspected([fact(f"{i}.png") for i in range(len(rows))]), files, links)


def test_a_leaked_file_names_its_nearest_copy_in_train() -> None:
    rows = [("train", "A"), ("train", "A"), ("val", "A"), ("val", "A"), ("test", "A"), ("train", "A")]
    links = [
        Link(0, 2, TRANSFORMED, agreeing(0.8)),
        Link(1, 2, REENCODED, agreeing(0.95)),
        Link(2, 3, TRANSFORMED, agreeing(0.75)),
        Link(4, 5, IDENTICAL_FILE),
    ]
    leaked = [issue for issue in issues_of(rows, links) if issue.kind == "leak"]
    assert leaked == [
        Issue(4, "leak", "leak", "severe", 1.0, 5, IDENTICAL_FILE),
        Issue(2, "leak", "leak", "severe", 0.95, 1, REENCODED),
        Issue(3, "leak", "leak", "severe", 0.75, 1, "through other copies"),
    ]


def test_a_leak_of_a_hundredth_is_doubtful_in_each_row() -> None:
    rows = [("train", "A", 0)] + [("val", "A", i) for i in range(100)]
    assert severity_of_leaks(labelled(rows)) == {"val": "doubtful"}
    assert severity_of_leaks(labelled([*rows, ("val", "A", 0)])) == {"val": "severe"}
    assert severity_of_leaks(labelled(rows[1:])) == {}


def test_a_conflict_names_the_file_of_the_other_class() -> None:
    links = [Link(0, 1, TRANSFORMED, agreeing(0.9)), Link(1, 2, TRANSFORMED, agreeing(0.8))]
    found = issues_of([("all", "A"), ("all", "A"), ("all", "B")], links)
    assert [(one.image, one.related, one.score) for one in found if one.kind == "conflict"] == [
        (0, 2, 0.8),
        (1, 2, 0.8),
        (2, 1, 0.8),
    ]
    # the second file of A is a copy of the first one, whatever B holds
    assert [(one.image, one.related) for one in found if one.fault == "copy"] == [(1, 0)]


def test_each_copy_within_a_class_is_one_row_and_a_leaked_one_is_none() -> None:
    links = [Link(0, 1, IDENTICAL_FILE), Link(0, 2, IDENTICAL_FILE), Link(0, 3, IDENTICAL_FILE), Link(1, 2, REENCODED)]
    found = issues_of([("train", "A"), ("train", "A"), ("train", "A"), ("val", "A")], links)
    assert [(one.image, one.fault) for one in found] == [(3, "leak"), (1, "copy"), (2, "copy")]


def test_an_edited_copy_is_named_unless_it_is_a_leak() -> None:
    links = [Link(0, 1, EDITED, agreeing(0.9)), Link(0, 2, EDITED, agreeing(0.9))]
    found = issues_of([("train", "A"), ("train", "B"), ("val", "A")], links)
    assert [(one.image, one.fault, one.related) for one in found] == [(2, "leak", 0), (1, "edited", 0)]


def test_a_file_has_one_row_for_each_of_its_faults() -> None:
    facts = [
        FileFacts("broken.png", 4, fault="not an image", damage="cut off", has_face=None),
        fact("cut.jpg", format="JPEG", damage="cut off", has_face=False),
        fact("red.png", mean=(1.0, 0.0, 0.0), deviation=(0.0,) * 3, remark="2 frames, the first is used"),
        fact("lies\udcff.png", format="JPEG", mode="L", width=16, has_face=True),
        *(fact(f"{i}.png") for i in range(20)),
    ]
    found = list_issues(inspected(facts), labelled([("all", "A", i) for i in range(24)]), [])
    assert [(one.image, one.kind, one.fault, one.severity, one.detail) for one in found] == [
        (0, "bad_file", "unreadable", "severe", "not an image"),
        (1, "bad_file", "cut_off", "doubtful", "cut off"),
        (2, "bad_file", "single_colour", "doubtful", "red, green and blue 255, 0, 0"),
        (1, "quality", "no_face", "note", ""),
        (3, "oddity", "mode", "note", "L"),
        (3, "oddity", "name", "note", ""),
        (3, "oddity", "not_square", "note", "16 x 8 pixels"),
        (2, "oddity", "remark", "note", "2 frames, the first is used"),
        (3, "oddity", "suffix", "note", "the content is JPEG"),
    ]
    assert all(one.score == 1 for one in found)


def test_what_most_files_have_is_no_row_of_a_file() -> None:
    facts = [fact(f"{i}.png", width=10, height=8, mode="L") for i in range(6)] + [
        fact(f"{i}_square.png") for i in range(5)
    ]
    files = labelled([("all", "A", i) for i in range(13)])
    broken = [FileFacts("broken.png", 4, fault="x"), FileFacts("other.png", 4, fault="x")]
    found = list_issues(inspected([*facts, *broken]), files, [])
    assert [(one.image, one.fault) for one in found] == [(11, "unreadable"), (12, "unreadable")]
    usual = usual_oddities([*facts, *broken])
    assert {fault: [one.image for one in rows] for fault, rows in usual.items()} == {
        "mode": [*range(6)],
        "not_square": [*range(6)],
    }
    assert usual_oddities(facts[1:]) == {}


def test_what_stands_out_has_a_score_and_says_what_was_measured() -> None:
    facts = [fact(f"{i}.png") for i in range(20)] + [fact("large.png", width=80, height=80)]
    looks = {0: ORDINARY._replace(bright_parts=0.07), 1: ORDINARY._replace(bright_parts=0.21)}
    found = list_issues(inspected(facts, looks), labelled([("all", "A", i) for i in range(21)]), [])
    assert [(one.image, one.fault, round(one.score, 2), one.detail) for one in found] == [
        (0, "dark", 0.8, "brightness of the bright parts 0.07, the median of all files is 0.90"),
        (1, "dark", 0.4, "brightness of the bright parts 0.21, the median of all files is 0.90"),
        (20, "odd_size", pytest.approx(0.4, abs=0.01), "side about 80 pixels, the median of all files is 8"),
    ]
