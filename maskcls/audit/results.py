"""Everything that an audit found, and its files: audit.json, groups.csv and links.csv."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskcls.audit.duplicates import EVIDENCE, Link
from maskcls.audit.files import FileFacts
from maskcls.audit.findings import Finding, Labelled, conflicts, leaks
from maskcls.audit.shortcuts import Shortcut
from maskcls.data.index import Index
from maskcls.files import table, write_json


@dataclass(frozen=True)
class AuditResult:
    """Everything that an audit found; facts are in the order of the files, findings in that of their severity."""

    index: Index
    files: Labelled
    facts: Sequence[FileFacts]
    links: Sequence[Link]
    shortcuts: Sequence[Shortcut]
    findings: Sequence[Finding]


def write_results(directory: Path, result: AuditResult) -> dict[str, Any]:
    """Write audit.json, groups.csv and links.csv into a directory.

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
    content = summarize(result)
    write_json(directory / "audit.json", content)
    return content


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
            "truncated": [fact.path for fact in facts if fact.is_truncated],
            "single_colour": [fact.path for fact in facts if fact.is_constant],
            "suffix_lies": {fact.path: fact.format for fact in facts if fact.suffix_lies},
        },
        "modes": dict(Counter(fact.mode for fact in facts if fact.fault is None).most_common()),
        "sides": _sides(facts, files),
        "normalization": normalization(facts),
        "groups": {
            "all": len(np.unique(groups)),
            "by_class": {name: len(np.unique(groups[files.classes == name])) for name in index.classes},
            "links": {evidence: found[evidence] for evidence in EVIDENCE},
        },
        "leaks": [
            {"split": one.split, "class": one.class_name, "files": one.files, "files_also_in_train": one.also_in_train}
            for one in leaks(files)
        ],
        "conflicts": [[facts[i].path for i in part] for part in conflicts(files)],
        "shortcuts": [shortcut._asdict() for shortcut in result.shortcuts],
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
