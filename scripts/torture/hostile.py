"""Checkpoints and archives made to mislead, as the tests have them: no code runs, nothing is written outside."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from torture.campaign import CampaignError, Options, Outcome
from torture.processes import Processes

TESTS = Path(__file__).resolve().parents[2] / "tests"
# part of the names of the tests that read archives of the data set; the others read checkpoints
ARCHIVE_TESTS = "archive_writes"


def campaign(options: Options, processes: Processes) -> Outcome:
    """Run the tests that are marked ``hostile``."""
    report = options.folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "hostile", f"--junitxml={report}", str(TESTS)]
    result = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True)
    cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    if not cases:
        raise CampaignError(f"no test was run: {result.stdout[-500:]}")
    failures = [f"{case.get('classname')}: {case.get('name')}" for case in cases if len(case)]
    archives = sum(ARCHIVE_TESTS in str(case.get("name")) for case in cases)
    return Outcome(len(cases), failures, f"{len(cases) - archives} checkpoints, {archives} archives")
