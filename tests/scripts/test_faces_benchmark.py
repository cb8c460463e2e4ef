"""The measurement of how many faces are found, on a few collages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "faces_benchmark.py"


@pytest.mark.realdata
def test_nearly_all_faces_of_collages_are_found_once_and_nothing_else(shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    command = [
        sys.executable, str(SCRIPT), "--photographs", str(shared / "data" / "wild_dev"), "--people", "odd",
        "--detector", str(shared / "models" / "face_detection_yunet_2023mar.onnx"), "--collages", "25",
        "--out", str(out),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    report = json.loads(out.read_text())
    large = [row for row in report["shares"] if row["low"] >= 40]
    faces, found = (sum(row[key] for row in large) for key in ("faces", "found"))
    assert faces > 150
    assert found >= 0.96 * faces
    assert report["without_a_face"] <= 0.01 * report["boxes"]
    assert report["twice"] == 0
    assert f"{report['boxes']} boxes, {report['without_a_face']} without a face" in result.stdout
