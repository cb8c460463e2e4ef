"""The comparison with other tools, on a few images and those tools that every environment has."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "scripts" / "benchmark.py"


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARK), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_all_train_on_the_same_images_and_the_table_shows_them(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    result = benchmark(
        "--data", str(dataset), "--model", "mycnn", "--size", "16", "--batch", "8", "--epochs", "2", "--images", "40",
        "--workers", "0", "--contenders", "plain,maskcls", "--extrapolate", "10", "400", "--out", str(out),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    report = json.loads(out.read_text())
    assert report["settings"]["images"] == {"train": 40, "val": 4}
    assert [row["name"] for row in report["contenders"]] == ["plain", "maskcls_cold", "maskcls_warm"]
    for row in report["contenders"]:
        (run,) = row["runs"]
        assert (run["train_images"], run["val_images"], run["precision"]) == (40, 4, "float32")
        assert len(run["train_seconds"]) == len(run["eval_seconds"]) == len(run["val_accuracy"]) == 2
        assert 0 < sum(run["train_seconds"]) + sum(run["eval_seconds"]) < run["seconds"]
        assert run["peak_memory_mb"] > 100
        assert f"| {row['name']} | " in result.stdout
    assert "40 training and 4 validation images" in result.stdout
    assert benchmark("--table", str(out)).stdout.strip().endswith(result.stdout.strip())
    assert benchmark("--plot", str(out), str(tmp_path / "plot.png")).returncode == 0
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_an_unknown_contender_is_refused(dataset: Path) -> None:
    result = benchmark("--data", str(dataset), "--contenders", "plain,torch")
    assert result.returncode == 2
    assert result.stderr.endswith(
        "no torch; expected any of plain, plain_bf16, lightning, timm, ultralytics, maskcls, maskcls_fast\n"
    )
