"""The check of a device, on the CPU."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_gpu.py"


def checked(*arguments: str, before: str = "pass") -> tuple[int, list[list[str]]]:
    """Run the script after some Python; return its status and the cells of its table."""
    run = f"sys.argv[1:] = {arguments!r}; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    code = f"import runpy, sys; {before}; {run}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900)
    rows = [line.strip("| ").split(" | ") for line in result.stdout.splitlines() if line.startswith("| ")]
    return result.returncode, rows[2:]


@pytest.mark.slow
def test_everything_is_right_on_the_cpu() -> None:
    status, rows = checked("--device", "cpu")
    wrong = [row for row in rows if row[-1] == "WRONG"]
    assert (status, wrong) == (0, [])
    verdicts = [row[0] for row in rows if row[-1] == "right"]
    assert "the fifth batch is not finite" in verdicts
    assert "killed and resumed" in verdicts
    assert "float16: overflow in the first step" in verdicts
    assert any("images/s" in row[1] for row in rows)


def test_what_is_wrong_is_said_and_ends_with_status_1() -> None:
    # a step that ignores what is not finite
    ignored = "import maskcls.training.loop as loop; loop._require_finite = lambda *_: None"
    assert checked("bad_batch", "--device", "cpu", before=ignored) == (
        1,
        [["the fifth batch is not finite", "not noticed", "WRONG"]],
    )
    assert checked("bad_batch", "--device", "cpu") == (0, [["the fifth batch is not finite", "batch 5", "right"]])


def test_an_unknown_check_is_refused() -> None:
    assert checked("sped")[0] == 2
