"""The torture script: a few cases of each campaign, none of which fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).parents[2] / "scripts" / "torture.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "campaign", ["kill", "signals", "full", "damage", "images", "commands", "hostile", "concurrency"]
)
def test_a_few_cases_of_a_campaign_hold(campaign: str, tmp_path: Path) -> None:
    if campaign == "full" and os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    out = tmp_path / "report.json"
    command = [sys.executable, str(TORTURE), campaign, "--scale", "0.02", "--seed", "1", "--out", str(out)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    report = json.loads(out.read_text())[campaign]
    assert report["failures"] == [], result.stderr
    assert report["cases"] > 0
    assert result.returncode == 0
