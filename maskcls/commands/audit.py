"""The audit command: reads a data set once, and writes what makes an accuracy on it worthless."""

import dataclasses
import logging
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskcls.audit.duplicates import EVIDENCE, Groups, Link, find_links, group
from maskcls.audit.features import FeatureStore
from maskcls.audit.files import FileFacts, Inspection, inspect_files
from maskcls.audit.findings import Finding, Labelled, conclude, conflicts, leaks
from maskcls.audit.report import write_report
from maskcls.audit.shortcuts import Shortcut, measure_shortcuts
from maskcls.config import AuditConfig
from maskcls.cores import usable_cores
from maskcls.data.index import Index, index_folder
from maskcls.errors import AuditError
from maskcls.files import table, write_json
from maskcls.run import Run

log = logging.getLogger(__name__)


def audit(config: AuditConfig, run: Run) -> None:
    """Audit a data set; writes audit.json, groups.csv, links.csv, report.html and plots.

    Raises:
        UserError: where the folder is no data set.
        AuditError: where ``fail_on`` names what was found; everything is written before.
    """
    index = index_folder(config.data.root)
    paths = index.all_images().paths
    log.info("data %s: %d files, classes %s", index.root, len(paths), ", ".join(index.classes))
    threads = config.data.workers or usable_cores()
    with tempfile.TemporaryDirectory(prefix="features-", dir=run.directory) as folder:
        store = FeatureStore(Path(folder))
        with run.phase("read"):
            inspection = inspect_files(index.root, paths, store, threads)
        store.close()
        with run.phase("compare"):
            links = find_links(inspection.facts, store)
    groups = group(len(paths), links)
    files = Labelled.of(index, groups)
    with run.phase("shortcuts"):
        labels = np.array(index.all_images().labels)
        shortcuts = measure_shortcuts(inspection, labels, groups.of_file, config.seed)
    findings = conclude(inspection.facts, files, links, shortcuts)

    with run.phase("write"):
        write_groups(run.directory / "groups.csv", paths, groups)
        write_links(run.directory / "links.csv", paths, links)
        content = summarize(index, inspection, files, links, shortcuts, findings)
        write_json(run.directory / "audit.json", content)
        write_report(run.directory, index.root, content, inspection.facts, links, files)
    run.record.update(data=content["data"], findings=content["findings"])
    for finding in findings:
        log.log(
            logging.INFO if finding.severity == "note" else logging.WARNING, "%s: %s", finding.severity, finding.text
        )
    log.info("everything is in %s", run.directory)
    failed = [f for f in findings if f.kind in config.fail_on and f.severity == "severe"]
    if failed:
        told = (f"{f.kind}: {f.text}{f', such as {f.files[0]}' if f.files else ''}" for f in failed)
        raise AuditError(f"fail_on: {'; '.join(told)}")


def write_groups(path: Path, paths: Sequence[str], groups: Groups) -> None:
    """Write ``groups.csv``: of each file, its photograph's name and why it is thought to show it."""
    with table(path) as write:
        write(["path", "group", "evidence"])
        for name, number, evidence in zip(paths, groups.of_file, groups.evidence, strict=True):
            write([name, f"g{number:06d}", evidence])


def write_links(path: Path, paths: Sequence[str], links: Sequence[Link]) -> None:
    """Write ``links.csv``: the pairs of files that the groups hang together by, and how well they agree."""
    with table(path) as write:
        write(["first", "second", "evidence", "inliers", "agreement", "changed", "mirrored"])
        for link in links:
            found = link.match
            numbers = (
                (found.inliers, f"{found.agreement:.3f}", f"{found.changed:.3f}", int(found.is_mirrored))
                if found
                else ("",) * 4
            )
            write([paths[link.first], paths[link.second], link.evidence, *numbers])


def summarize(
    index: Index,
    inspection: Inspection,
    files: Labelled,
    links: Sequence[Link],
    shortcuts: Sequence[Shortcut],
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """The content of ``audit.json``."""
    facts = inspection.facts
    found = Counter(link.evidence for link in links)
    return {
        "data": {
            "root": str(index.root),
            "fingerprint": index.fingerprint(),
            "classes": list(index.classes),
            "files": index.counts(),
        },
        "findings": [dataclasses.asdict(finding) for finding in findings],
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
            "all": len(np.unique(files.photographs)),
            "by_class": {name: len(np.unique(files.photographs[files.classes == name])) for name in index.classes},
            "links": {evidence: found[evidence] for evidence in EVIDENCE},
        },
        "leaks": leaks(files),
        "conflicts": [[facts[i].path for i in part] for part in conflicts(files)],
        "shortcuts": [shortcut._asdict() for shortcut in shortcuts],
    }


def _sides(facts: Sequence[FileFacts], files: Labelled) -> dict[str, dict[str, list[float]]]:
    """By split and class: the 0th, 5th, 50th, 95th and 100th percentile of the longer side."""
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
    """Mean and standard deviation of each channel, 0..1, every image counting alike; the latter in two definitions."""
    readable = [fact for fact in facts if fact.fault is None]
    if not readable:
        return {}
    mean = np.mean([fact.mean for fact in readable], axis=0)
    deviations = np.array([fact.deviation for fact in readable])
    square = np.mean(deviations**2 + np.array([fact.mean for fact in readable]) ** 2, axis=0)
    values = {
        "mean": mean,
        "std_of_all_pixels": np.sqrt(np.maximum(square - mean**2, 0)),
        "mean_of_each_images_std": deviations.mean(axis=0),
    }
    return {name: value.round(6).tolist() for name, value in values.items()}
