"""The files of an audit, from what it found."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tables import read_table

from maskcls.audit.duplicates import IDENTICAL_FILE, TRANSFORMED, Link, group
from maskcls.audit.files import FileFacts
from maskcls.audit.findings import Finding
from maskcls.audit.geometry import Match
from maskcls.audit.issues import Issue
from maskcls.audit.labelled import Labelled
from maskcls.audit.results import AuditResult, normalization, write_results
from maskcls.audit.shortcuts import Shortcut
from maskcls.data.index import Index, Split


def fact(path: str, side: int, mean: float = 0.5, deviation: float = 0.1) -> FileFacts:
    return FileFacts(
        path, 100, None, "d", "PNG", "RGB", width=side, height=side // 2, mean=(mean,) * 3, deviation=(deviation,) * 3
    )


@pytest.fixture
def result(tmp_path: Path) -> AuditResult:
    """Three files in train and two in val; one of val is a copy, another a mirror image, of files in train."""
    splits = {
        "train": Split(("t/0.png", "t/1.png", "t/2.png"), (0, 1, 1)),
        "val": Split(("v/3.png", "v/4.png"), (0, 1)),
    }
    index = Index(tmp_path, ("A", "B"), splits)
    mirrored = Match(np.array([[-1.0, 0, 159], [0, 1, 0]]), 12, 0.9876, 0.0)
    links = [Link(0, 3, IDENTICAL_FILE), Link(2, 4, TRANSFORMED, mirrored)]
    facts = [fact("t/0.png", 10), fact("t/1.png", 20), FileFacts("t/2.png", 5, fault="the file is empty")]
    facts += [fact("v/3.png", 10), fact("v/4.png", 30, mean=0.0, deviation=0.0)]
    return AuditResult(
        index,
        Labelled.of(index, group(5, links)),
        facts,
        links,
        [Shortcut("the spectrum", 0.75, (0.5, 0.875), 0.5)],
        None,
        [
            Issue(3, "leak", "leak", "severe", 1.0, 0, "identical file"),
            Issue(4, "quality", "dark", "note", 0.12345, detail="0.1, the median of all files is 0.9"),
        ],
        [Finding("leak", "severe", "a sentence", ("v/3.png",))],
        few_features=2,
    )


def test_each_file_has_a_group_and_the_evidence_for_it(result: AuditResult, tmp_path: Path) -> None:
    write_results(tmp_path, result)
    assert read_table(tmp_path / "groups.csv") == [
        {"path": "t/0.png", "group": "g000000", "evidence": "identical file"},
        {"path": "t/1.png", "group": "g000001", "evidence": ""},
        {"path": "t/2.png", "group": "g000002", "evidence": "transformed"},
        {"path": "v/3.png", "group": "g000000", "evidence": "identical file"},
        {"path": "v/4.png", "group": "g000002", "evidence": "transformed"},
    ]


def test_each_link_says_how_well_its_files_agree(result: AuditResult, tmp_path: Path) -> None:
    write_results(tmp_path, result)
    empty = dict.fromkeys(("inliers", "agreement", "changed", "mirrored"), "")
    numbers = {"inliers": "12", "agreement": "0.988", "changed": "0.000", "mirrored": "1"}
    assert read_table(tmp_path / "links.csv") == [
        {"first": "t/0.png", "second": "v/3.png", "evidence": "identical file", **empty},
        {"first": "t/2.png", "second": "v/4.png", "evidence": "transformed", **numbers},
    ]


def test_each_issue_is_a_row(result: AuditResult, tmp_path: Path) -> None:
    write_results(tmp_path, result)
    assert read_table(tmp_path / "issues.csv") == [
        {
            "path": "v/3.png",
            "kind": "leak",
            "fault": "leak",
            "severity": "severe",
            "score": "1.000",
            "split": "val",
            "class": "A",
            "related": "t/0.png",
            "detail": "identical file",
        },
        {
            "path": "v/4.png",
            "kind": "quality",
            "fault": "dark",
            "severity": "note",
            "score": "0.123",
            "split": "val",
            "class": "B",
            "related": "",
            "detail": "0.1, the median of all files is 0.9",
        },
    ]


def test_the_reason_why_shortcuts_were_not_measured_is_written(result: AuditResult, tmp_path: Path) -> None:
    assert write_results(tmp_path, result)["shortcuts_not_measured"] is None
    without = dataclasses.replace(result, shortcuts=[], not_measured="there are no two classes to tell apart")
    assert write_results(tmp_path, without)["shortcuts_not_measured"] == "there are no two classes to tell apart"


def test_the_summary_counts_what_was_found(result: AuditResult, tmp_path: Path) -> None:
    content = write_results(tmp_path, result)
    assert json.loads((tmp_path / "audit.json").read_text()) == json.loads(json.dumps(content))
    assert content["data"]["files"] == {"train": {"A": 1, "B": 2}, "val": {"A": 1, "B": 1}}
    assert content["findings"] == [{"kind": "leak", "severity": "severe", "text": "a sentence", "files": ("v/3.png",)}]
    assert content["bad_files"] == {
        "unreadable": {"t/2.png": "the file is empty"},
        "damaged": {},
        "single_colour": ["v/4.png"],
        "suffix_lies": {},
    }
    assert content["faults"] == {"leak": 1, "dark": 1}
    assert content["groups"]["files_with_few_features"] == 2
    assert content["modes"] == {"RGB": 4}
    # the file that cannot be read has no side
    assert content["sides"] == {"train": {"A": [10] * 5, "B": [20] * 5}, "val": {"A": [10] * 5, "B": [30] * 5}}
    assert (content["groups"]["all"], content["groups"]["by_class"]) == (3, {"A": 1, "B": 2})
    assert content["groups"]["links"]["identical file"] == 1
    assert content["groups"]["links"]["edited"] == 0
    assert content["leaks"] == [
        {"split": "val", "class": "A", "files": 1, "files_also_in_train": 1},
        {"split": "val", "class": "B", "files": 1, "files_also_in_train": 1},
    ]
    assert content["conflicts"] == []
    assert content["shortcuts"] == [{"name": "the spectrum", "accuracy": 0.75, "interval": (0.5, 0.875), "chance": 0.5}]


def test_the_standard_deviation_is_given_in_both_definitions() -> None:
    images = np.random.default_rng(0).uniform(size=(4, 50, 3)) * np.array([0.25, 0.5, 0.75, 1])[:, None, None]
    facts = [
        FileFacts(f"{i}.png", 1, mean=tuple(image.mean(axis=0)), deviation=tuple(image.std(axis=0)))
        for i, image in enumerate(images)
    ]
    found = normalization([*facts, FileFacts("broken.png", 1, fault="the file is empty")])
    assert found["mean"] == pytest.approx(images.mean(axis=(0, 1)), abs=1e-6)
    assert found["std_of_all_pixels"] == pytest.approx(images.std(axis=(0, 1)), abs=1e-6)
    assert found["mean_of_each_images_std"] == pytest.approx(images.std(axis=1).mean(axis=0), abs=1e-6)
    assert normalization([FileFacts("broken.png", 1, fault="the file is empty")]) == {}
