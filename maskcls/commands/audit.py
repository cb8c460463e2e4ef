"""The command maskcls-audit: what makes an accuracy on a data set worthless?"""

import logging
from collections.abc import Collection, Sequence

import numpy as np

from maskcls.audit.duplicates import find_links, group, without_features
from maskcls.audit.features import FeatureStore
from maskcls.audit.files import inspect_files
from maskcls.audit.findings import Finding, conclude
from maskcls.audit.issues import list_issues
from maskcls.audit.labelled import Labelled
from maskcls.audit.report import write_report
from maskcls.audit.results import AuditResult, write_results
from maskcls.audit.shortcuts import measure_shortcuts, why_not_measured
from maskcls.config import AuditConfig, AuditDataConfig
from maskcls.cores import usable_cores
from maskcls.data.faces import FaceFinder, find_detector
from maskcls.data.index import Index, index_unlabelled
from maskcls.data.notices import report_index
from maskcls.data.sources import list_dataset
from maskcls.data.walk import subfolders
from maskcls.errors import AuditError, UserError
from maskcls.run import Run
from maskcls.wording import counted, named

log = logging.getLogger(__name__)


def audit(config: AuditConfig, run: Run) -> None:
    """Audit a data set; writes audit.json, issues.csv, groups.csv, links.csv, report.html and plots.

    Raises:
        UserError: The folder is not a data set.
        AuditError: A severe finding is of a kind that ``fail_on`` names. All files are written before.
    """
    index = _list_images(config.data)
    result = _examine(index, config, run)
    with run.phase("write"):
        content = write_results(run.directory, result)
        write_report(run.directory, result, content)
    run.record.update(data={**content["data"], "left_out": dict(index.left_out)}, findings=content["findings"])

    if result.not_measured:
        log.info("shortcuts were not measured: %s", result.not_measured)
    log.info("findings: %d", len(result.findings))
    for finding in result.findings:
        level = logging.INFO if finding.severity == "note" else logging.WARNING
        log.log(level, "  %-8s  %s", finding.severity, finding.text)
    log.info("everything is in %s", run.directory)
    _fail(result.findings, config.fail_on)


def _list_images(config: AuditDataConfig) -> Index:
    """List the images in class folders, or of a table. Those of a folder without folders have no class."""
    root = config.root or (config.table and config.table.parent)
    if root is None:
        raise UserError("data.root is missing: give it as data.root=PATH, or data.table=PATH")
    if config.table is None and root.is_dir() and not subfolders(root):
        index = index_unlabelled(root)
    else:
        index, _ = list_dataset(config, root)
    report_index(index, root)
    return index


def _examine(index: Index, config: AuditConfig, run: Run) -> AuditResult:
    finder = None
    if config.faces.mode != "none":
        finder = FaceFinder(find_detector(config.faces.model, cache_dir=config.cache_dir), always_crop=True)
    images = index.all_images()
    threads = config.data.workers or usable_cores()
    classes = f", classes {', '.join(map(named, index.classes))}" if any(index.classes) else ", without classes"
    log.info("data %s: %s%s", index.root, counted(len(images), "file"), classes)
    store = FeatureStore(run.directory)
    with run.phase("read"):
        inspection = inspect_files(index.root, images.paths, store, threads, finder)
    store.close()
    with run.phase("compare"):
        links = find_links(inspection, store)
    few_features = len(without_features(inspection.facts, store))
    files = Labelled.of(index, group(len(images), links))
    labels, groups = np.array(images.labels), files.groups.of_file
    not_measured = why_not_measured(inspection, labels=labels, groups=groups)
    with run.phase("shortcuts"):
        shortcuts = (
            [] if not_measured else measure_shortcuts(inspection, labels=labels, groups=groups, seed=config.seed)
        )
    issues = list_issues(inspection, files, links)
    findings = conclude(inspection, files, links, shortcuts, issues, few_features)
    return AuditResult(index, files, inspection.facts, links, shortcuts, not_measured, issues, findings, few_features)


def _fail(findings: Sequence[Finding], kinds: Collection[str]) -> None:
    failed = [finding for finding in findings if finding.kind in kinds and finding.severity == "severe"]
    if failed:
        told = (f"{one.kind}: {one.text}{f', such as {one.files[0]}' if one.files else ''}" for one in failed)
        raise AuditError(f"fail_on: {'; '.join(told)}")
