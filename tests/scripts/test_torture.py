"""The torture scripts: what they compare, and a few cases of each campaign, none of which fails."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torture.checkpoints import unequal

TORTURE = Path(__file__).parents[2] / "scripts" / "torture"


@pytest.mark.parametrize(
    ("a", "b", "where"),
    [
        ({"x": torch.ones(2)}, {"x": torch.ones(2)}, []),
        ({"x": torch.ones(2)}, {"x": torch.tensor([1, 1 + 1e-7])}, ["x"]),
        ({"x": torch.ones(2)}, {"x": torch.ones(2, dtype=torch.float64)}, ["x"]),
        ({"x": torch.ones(2)}, {"x": torch.ones(1)}, ["x"]),
        ({"x": torch.ones(1)}, {"x": 1.0}, ["x"]),
        ({"x": 1.0}, {"x": torch.ones(1)}, ["x"]),
        ({"x": [1, {"y": 2}]}, {"x": [1, {"y": 3}]}, ["x/1/y"]),
        ({"x": 1, "y": 2}, {"x": 1}, [""]),
        ({"x": [1]}, {"x": [1, 2]}, ["x"]),
        ({"x": {"seconds": 1.0, "config": 1}}, {"x": {"seconds": 2.0, "config": 2}}, []),
        ({"x": "1.0"}, {"x": "1.00"}, ["x"]),
        ({"x": 1}, {"x": True}, ["x"]),
        ({"seconds": 1.0}, {"seconds": 2.0}, []),
    ],
)
def test_every_difference_but_timings_and_configurations_is_found(a: Any, b: Any, where: list[str]) -> None:
    assert unequal(a, b) == where


def torture(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TORTURE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
@pytest.mark.parametrize(
    "campaign", ["kill", "signals", "full", "damage", "images", "commands", "hostile", "concurrency", "predictions"]
)
def test_a_few_cases_of_a_campaign_hold(campaign: str, tmp_path: Path) -> None:
    if campaign == "full" and os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    out = tmp_path / "report.json"
    result = torture(campaign, "--scale", "0.02", "--seed", "1", "--out", str(out))
    report = json.loads(out.read_text())[campaign]
    assert report["failures"] == [], result.stderr
    assert report["cases"] > 0
    assert result.returncode == 0


def test_an_unknown_campaign_is_refused() -> None:
    result = torture("kill", "maim")
    assert result.returncode == 2
    assert "no campaign maim; expected any of kill, signals, " in result.stderr
