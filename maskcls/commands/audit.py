"""The command maskcls-audit: what makes an accuracy on a data set worthless?"""

import logging
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from maskcls.audit.duplicates import find_links, group
from maskcls.audit.features import FeatureStore
from maskcls.audit.files import inspect_files
from maskcls.audit.findings import Finding, Labelled, conclude
from maskcls.audit.report import write_report
from maskcls.audit.results import AuditResult, write_results
from maskcls.audit.shortcuts import measure_shortcuts
from maskcls.config import AuditConfig
from maskcls.cores import usable_cores
from maskcls.data.index import index_folder
from maskcls.errors import AuditError
from maskcls.run import Run

log = logging.getLogger(__name__)


def audit(config: AuditConfig, run: Run) -> None:
    """Audit a data set; writes audit.json, groups.csv, links.csv, report.html and plots.

    Raises:
        UserError: The folder is not a data set.
        AuditError: A severe finding is of a kind that ``fail_on`` names. All files are written before.
    """
    index = index_folder(config.data.root)
    images = index.all_images()
    log.info("data %s: %d files, classes %s", index.root, len(images), ", ".join(index.classes))
    with tempfile.TemporaryDirectory(prefix="features-", dir=run.directory) as folder:
        store = FeatureStore(Path(folder))
        with run.phase("read"):
            inspection = inspect_files(index.root, images.paths, store, config.data.workers or usable_cores())
        store.close()
        with run.phase("compare"):
            links = find_links(inspection.facts, store)
    files = Labelled.of(index, group(len(images), links))
    with run.phase("shortcuts"):
        labels, groups = np.array(images.labels), files.groups.of_file
        shortcuts = measure_shortcuts(inspection, labels=labels, groups=groups, seed=config.seed)
    findings = conclude(inspection.facts, files, links, shortcuts)

    with run.phase("write"):
        result = AuditResult(index, files, inspection.facts, links, shortcuts, findings)
        content = write_results(run.directory, result)
        write_report(run.directory, result, content)
    run.record.update(data=content["data"], findings=content["findings"])

    log.info("findings: %d", len(findings))
    for finding in findings:
        level = logging.INFO if finding.severity == "note" else logging.WARNING
        log.log(level, "  %-8s  %s", finding.severity, finding.text)
    log.info("everything is in %s", run.directory)
    _fail(findings, config.fail_on)


def _fail(findings: Sequence[Finding], kinds: Collection[str]) -> None:
    failed = [finding for finding in findings if finding.kind in kinds and finding.severity == "severe"]
    if failed:
        told = (f"{one.kind}: {one.text}{f', such as {one.files[0]}' if one.files else ''}" for one in failed)
        raise AuditError(f"fail_on: {'; '.join(told)}")
