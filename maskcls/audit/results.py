"""Everything that an audit found, and its files: audit.json, issues.csv, groups.csv and links.csv."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskcls.audit.duplicates import EVIDENCE, Link
from maskcls.audit.files import FileFacts
from maskcls.audit.findings import Finding
from maskcls.audit.issues import Issue
from maskcls.audit.labelled import Labelled, conflicts, leaks
from maskcls.audit.shortcuts import Shortcut
from maskcls.data.index import Index
from maskcls.files import table, write_json


@dataclass(frozen=True)
class AuditResult:
    """Everything that an audit found.

    Attributes:
        index: the data set.
        files: split, class and group of each file.
        facts: facts about each file.
        links: pairs of files that show one image.
        shortcuts: what tells the classes apart.
        not_measured: why shortcuts were not measured, None where they were.
        issues: what is wrong with single files, the most severe first.
        findings: conclusions, the most severe first.
        few_features: number of files of which turned, cropped and mirrored copies are not found.
    """

    index: Index
    files: Labelled
    facts: Sequence[FileFacts]
    links: Sequence[Link]
    shortcuts: Sequence[Shortcut]
    not_measured: str | None
    issues: Sequence[Issue]
    findings: Sequence[Finding]
    few_features: int


def write_results(directory: Path, result: AuditResult) -> dict[str, Any]:
    """Write audit.json, issues.csv, groups.csv and links.csv into a directory.

    Returns:
        Content of audit.json.
    """
    with table(directory / "groups.csv") as write:
        write(["path", "group", "evidence"])
        groups = result.files.groups
        for fact, number, evidence in zip(result.facts, groups.of_file, groups.evidence, strict=True):
            write([fact.path, f"g{number:06d}", evidence])
    with table(directory / "links.csv") as write:
        write(["first", "second", "evidence", "inliers", "agreement", "changed", "mirrored"])
        for link in result.links:
            found, ends = link.match, (result.facts[link.first].path, result.facts[link.second].path)
            numbers: tuple[object, ...] = ("",) * 4
            if found:
                numbers = (found.inliers, f"{found.agreement:.3f}", f"{found.changed:.3f}", int(found.is_mirrored))
            write([*ends, link.evidence, *numbers])
    _write_issues(directory, result)
    content = summarize(result)
    write_json(directory / "audit.json", content)
    return content


def _write_issues(directory: Path, result: AuditResult) -> None:
    files = result.files
    with table(directory / "issues.csv") as write:
        write(["path", "kind", "fault", "severity", "score", "split", "class", "related", "detail"])
        for one in result.issues:
            related = "" if one.related is None else result.facts[one.related].path
            split, name = str(files.splits[one.image]), str(files.classes[one.image])
            path, score = result.facts[one.image].path, f"{one.score:.3f}"
            write([path, one.kind, one.fault, one.severity, score, split, name, related, one.detail])


def summarize(result: AuditResult) -> dict[str, Any]:
    """Return the content of ``audit.json``."""
    index, facts, files = result.index, result.facts, result.files
    groups = files.groups.of_file
    found = Counter(link.evidence for link in result.links)
    return {
        "data": {
            "root": str(index.root),
            "fingerprint": index.fingerprint(),
            "classes": list(index.classes),
            "files": index.counts(),
        },
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
        "bad_files": {
            "unreadable": {fact.path: fact.fault for fact in facts if fact.fault},
            "damaged": {fact.path: fact.damage for fact in facts if fact.damage},
            "single_colour": [fact.path for fact in facts if fact.is_constant],
            "suffix_lies": {fact.path: fact.format for fact in facts if fact.suffix_lies},
        },
        "faults": dict(Counter(issue.fault for issue in result.issues)),
        "modes": dict(Counter(fact.mode for fact in facts if fact.fault is None).most_common()),
        "sides": _sides(facts, files),
        "normalization": normalization(facts),
        "groups": {
            "all": len(np.unique(groups)),
            "by_class": {name: len(np.unique(groups[files.classes == name])) for name in index.classes},
            "links": {evidence: found[evidence] for evidence in EVIDENCE},
            "files_with_few_features": result.few_features,
        },
        "leaks": [
            {"split": one.split, "class": one.class_name, "files": one.files, "files_also_in_train": one.also_in_train}
            for one in leaks(files)
        ],
        "conflicts": [[facts[i].path for i in part] for part in conflicts(files)],
        "shortcuts": [shortcut._asdict() for shortcut in result.shortcuts],
        "shortcuts_not_measured": result.not_measured,
    }


def _sides(facts: Sequence[FileFacts], files: Labelled) -> dict[str, dict[str, list[float]]]:
    """Return the percentiles 0, 5, 50, 95 and 100 of the longer side, by split and class."""
    sides = np.array([max(fact.width, fact.height) for fact in facts])
    return {
        split: {
            name: np.percentile(sides[chosen], [0, 5, 50, 95, 100]).tolist()
            for name in sorted(set(files.classes.tolist()))
            if (chosen := (files.splits == split) & (files.classes == name) & (sides > 0)).any()
        }
        for split in dict.fromkeys(files.splits.tolist())
    }


def normalization(facts: Sequence[FileFacts]) -> dict[str, list[float]]:
    """Compute mean and standard deviation of the channels, 0..1. Every image has the same weight, whatever its size.

    Returns:
        ``mean``; ``std_of_all_pixels``; and ``mean_of_each_images_std``, which is often used in its place. Empty where
        no file can be read.
    """
    readable = [fact for fact in facts if fact.fault is None]
    if not readable:
        return {}
    means, deviations = np.array([fact.mean for fact in readable]), np.array([fact.deviation for fact in readable])
    mean = means.mean(axis=0)
    square = np.mean(deviations**2 + means**2, axis=0)
    values = {
        "mean": mean,
        "std_of_all_pixels": np.sqrt(np.maximum(square - mean**2, 0)),
        "mean_of_each_images_std": deviations.mean(axis=0),
    }
    return {name: value.round(6).tolist() for name, value in values.items()}
