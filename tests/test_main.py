"""``python -m maskcls``."""

import subprocess
import sys

import pytest

import maskcls
from maskcls import __main__, cli
from maskcls.config import SCHEMAS


@pytest.mark.parametrize("arguments", [[], ["tarin"], ["--help"], [""]])
def test_no_command_or_an_unknown_one_shows_the_usage(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["maskcls", *arguments])
    assert __main__.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"usage: python -m maskcls {{{','.join(SCHEMAS)}}} [key=value ...]\n"


@pytest.mark.parametrize("command", ["train", "eval", "predict"])
def test_the_first_argument_is_the_command(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, list[str]]] = []

    def main(command: str, arguments: list[str]) -> int:
        calls.append((command, arguments))
        return 3

    monkeypatch.setattr(sys, "argv", ["maskcls", command, "-m", "epochs=1,2"])
    monkeypatch.setattr(cli, "main", main)
    assert __main__.main() == 3
    assert calls == [(command, ["-m", "epochs=1,2"])]


def test_it_runs_as_a_module() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "maskcls", "train", "--version"], capture_output=True, text=True, timeout=120
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, f"maskcls {maskcls.__version__}\n", "")
