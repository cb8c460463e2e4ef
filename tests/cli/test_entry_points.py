"""The console commands: which job each runs, and what is imported before."""

import io
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobs import SYNTHETIC, Command, ReplaceJob, Result, failing

import maskcls
from maskcls import cli
from maskcls.config import AuditConfig, CompareConfig, EvalConfig, ExportConfig, PredictConfig, TrainConfig
from maskcls.errors import MachineError, TrainingError, UserError
from maskcls.interrupts import Interrupted
from maskcls.run import Run


@pytest.mark.parametrize("arguments", [["--version"], ["epohcs=3", "--version"]])
def test_version(command: Command, arguments: list[str]) -> None:
    assert command("train", *arguments) == Result(0, f"maskcls {maskcls.__version__}\n", "")


def test_output_that_lacks_letters_shows_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, content in written.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(content, encoding="cp1252", write_through=True))
    assert cli.main("train", ["--cfg", "job", "data=folder", "data.root=얼굴"]) == 0
    assert cli.main("train", ["data=folder", "data.root=/얼굴"]) == 2
    assert b"  root: \\uc5bc\\uad74\n" in written["stdout"].getvalue()
    assert b"data.root=/\\uc5bc\\uad74: no such folder" in written["stderr"].getvalue()


def test_torch_is_not_imported_before_the_command_line_is_known_to_be_good(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").touch()
    script = f"""
import sys
from maskcls import cli
calls = [
    ("train", "--help"), ("train", "--version"), ("train", "--cfg", "job"), ("train", "epohcs=3"),
    ("train", "epochs=0"), ("train", "data.root=nowhere"), ("train", "-m", "model=mycnn,vgg61"),
    ("train", "-sc", "install=bash"), ("train", "data=synthetic", "hydra.run.dir={tmp_path}"),
    ("eval", "ckpt=nowhere.safetensors"), ("predict", "ckpt={tmp_path}/best.safetensors", "source=nowhere"),
]
for name, *arguments in calls:
    status = cli.main(name, arguments)
    heavy = sorted({{"torch", "torchvision", "cv2", "matplotlib", "sklearn", "scipy"}} & set(sys.modules))
    print("RESULT", name, status, *heavy)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    lines = [line.removeprefix("RESULT ") for line in result.stdout.splitlines() if line.startswith("RESULT ")]
    train = [f"train {status}" for status in (0, 0, 0, 2, 2, 2, 2, 0, 2)]
    assert lines == [*train, "eval 2", "predict 2"], result.stderr
    assert result.stderr.count("\n") == lines.count("train 2") + 2


@pytest.mark.parametrize(
    ("entry", "name", "function", "schema"),
    [
        (cli.train, "train", "maskcls.commands.train.train", TrainConfig),
        (cli.evaluate, "eval", "maskcls.commands.evaluate.evaluate", EvalConfig),
        (cli.predict, "predict", "maskcls.commands.predict.predict", PredictConfig),
        (cli.audit, "audit", "maskcls.commands.audit.audit", AuditConfig),
        (cli.compare, "compare", "maskcls.commands.compare.compare", CompareConfig),
        (cli.export, "export", "maskcls.commands.export.export", ExportConfig),
    ],
)
@pytest.mark.usefixtures("real_job")
def test_each_console_command_runs_its_job(
    entry: Callable[[], int],
    name: str,
    function: str,
    schema: type,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[Any, Run]] = []
    monkeypatch.setattr(function, lambda config, run: calls.append((config, run)))
    for file in ("best.safetensors", "1.png"):
        (tmp_path / file).touch()
    typed = {"train": [SYNTHETIC], "eval": [f"ckpt={tmp_path}/best.safetensors"]}
    typed["predict"] = [*typed["eval"], f"source={tmp_path}/1.png"]
    typed["audit"] = [f"data.root={tmp_path}"]
    typed["export"] = typed["eval"]
    (tmp_path / "run.json").touch()
    typed["compare"] = [f"runs=[{tmp_path},{tmp_path}]"]
    monkeypatch.setattr(sys, "argv", [f"maskcls-{name}", *typed[name]])
    assert entry() == 0
    ((config, run),) = calls
    assert isinstance(config, schema)
    assert (run.directory / f"{name}.log").is_file()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("a defect"), 1),
        (UserError("no images"), 2),
        (TrainingError("the loss is nan"), 3),
        (MachineError("the disk is full"), 5),
        (KeyboardInterrupt(), 130),
        (Interrupted(signal.SIGINT), 130),
        (Interrupted(signal.SIGTERM), 143),
    ],
)
def test_how_a_job_ends_is_the_exit_status(
    command: Command, job: ReplaceJob, error: BaseException, status: int
) -> None:
    job(failing(error))
    assert command("train", SYNTHETIC).status == status


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m maskcls train --help | true; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.stderr) == ("0\n", "")
