"""How one job, or each job of a sweep, ends."""

import csv
import errno
import logging
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
import windows
import yaml
from configuration import config_of
from jobs import (
    SYNTHETIC,
    Command,
    ReplaceJob,
    Result,
    failing,
    nothing,
    nothing_written,
    only_run,
    os_error,
)

from maskcls.cli.job import _slug, run_job
from maskcls.config import PredictConfig, TrainConfig, parse
from maskcls.errors import MachineError, TrainingError, UserError
from maskcls.run import Run, read_run


def test_a_finished_job(command: Command, job: ReplaceJob) -> None:
    def train(config: TrainConfig, run: Run) -> float:
        assert run.directory.is_absolute()
        assert read_run(run.directory)["status"] == "running"
        logging.getLogger("maskcls").info("told to people")
        logging.getLogger("maskcls").warning("told as a warning")
        return 0.5

    job(train)
    assert command("train", SYNTHETIC, "epochs=3") == Result(0, "told to people\n", "told as a warning\n")
    directory = only_run()
    assert re.fullmatch(r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d_resnet18_sgd", directory.as_posix())
    assert sorted(path.name for path in directory.iterdir()) == ["config.yaml", "run.json", "train.log"]
    record = read_run(directory)
    assert (record["status"], record["exit_status"]) == ("finished", 0)
    assert record["overrides"] == [SYNTHETIC, "epochs=3"]
    config = parse("train", yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8")))
    assert config == config_of("train", SYNTHETIC, "epochs=3")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d [\d:,]+ INFO told to people\n\d{4}-\d\d-\d\d [\d:,]+ WARNING told as a warning\n",
        (directory / "train.log").read_text(encoding="utf-8"),
    )


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (TrainingError("the loss is nan"), 3, "the loss is nan"),
        (
            OutOfMemoryError("CUDA out of memory"),
            5,
            "CUDA out of memory; a smaller batch size needs less",
        ),
        (MemoryError(), 5, "out of memory; a smaller batch size needs less"),
        (
            RuntimeError("CUDA error: unspecified launch failure\nFor debugging, pass CUDA_LAUNCH_BLOCKING=1"),
            5,
            "the device failed: CUDA error: unspecified launch failure",
        ),
        (os_error(errno.ENOSPC, "/disk/best.safetensors"), 5, "the system's words: /disk/best.safetensors"),
        (os_error(errno.EIO), 5, "the system's words: {directory}"),
    ],
)
def test_a_failed_job_keeps_its_directory(
    command: Command, job: ReplaceJob, error: Exception, status: int, message: str
) -> None:
    job(failing(error))
    result = command("train", SYNTHETIC)
    message = message.format(directory=only_run().absolute())
    assert result == Result(status, "", f"maskcls-train: {message}\n")
    record = read_run(only_run())
    assert (record["status"], record["exit_status"], record["error"]) == ("failed", status, message)
    assert (only_run() / "train.log").read_text(encoding="utf-8").endswith(f"ERROR maskcls-train: {message}\n")


def test_a_run_that_cannot_start_is_the_machines_failure(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "start", lambda *_: nothing_written("config.yaml"))
    assert command("train", SYNTHETIC) == Result(5, "", "maskcls-train: the system's words: /disk/config.yaml\n")


def test_a_log_that_cannot_be_written_shows_no_traceback(
    command: Command, job: ReplaceJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(config: TrainConfig, run: Run) -> None:
        (log,) = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]
        with monkeypatch.context() as patch:
            patch.setattr(log, "flush", lambda: nothing_written("train.log"))
            logging.getLogger("maskcls").info("epoch 1")

    job(train)
    assert command("train", SYNTHETIC) == Result(0, "epoch 1\n", "")


def test_a_disk_too_full_for_the_record_is_the_machines_failure(
    command: Command, job: ReplaceJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(config: TrainConfig, run: Run) -> None:
        monkeypatch.setattr(run, "write", lambda: nothing_written("run.json"))

    job(train)
    assert command("train", SYNTHETIC) == Result(5, "", "maskcls-train: the system's words: /disk/run.json\n")
    assert read_run(only_run())["status"] == "running"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("shapes differ:\n  [1]\n\t[2]"), "RuntimeError: shapes differ: [1] [2]"),
        (
            RuntimeError("CUDA error: device-side assert triggered"),
            "RuntimeError: CUDA error: device-side assert triggered",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "/gone"),
            "FileNotFoundError: [Errno 2] No such file: '/gone'",
        ),
    ],
)
def test_a_defect_is_one_line_on_the_screen_and_a_traceback_in_the_log(
    command: Command, job: ReplaceJob, error: Exception, message: str
) -> None:
    job(failing(error))
    result = command("train", SYNTHETIC)
    log = only_run().absolute() / "train.log"
    message = f"{message} (a defect in maskcls; see {log})"
    assert result == Result(1, "", f"maskcls-train: {message}\n")
    record = read_run(only_run())
    assert (record["status"], record["exit_status"], record["error"]) == ("failed", 1, message)
    text = log.read_text(encoding="utf-8")
    assert "\nTraceback (most recent call last):\n" in text
    assert ", in function\n    raise error\n" in text


def test_an_interrupted_job(command: Command, job: ReplaceJob) -> None:
    job(failing(KeyboardInterrupt()))
    result = command("train", SYNTHETIC)
    line = f"interrupted; continue with: maskcls-train resume={only_run().absolute()}\n"
    assert result == Result(130, "", line)
    record = read_run(only_run())
    assert (record["status"], record["exit_status"], record["error"]) == ("interrupted", 130, "interrupted")


def test_a_record_that_cannot_be_replaced_is_the_machines_failure(
    command: Command, job: ReplaceJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown() -> None:
        raise MachineError("run.json: cannot be replaced")

    job(lambda config, run: monkeypatch.setattr(run, "write", shown))
    assert command("train", SYNTHETIC) == Result(5, "", "maskcls-train: run.json: cannot be replaced\n")


def test_a_leaderboard_that_a_spreadsheet_shows_is_written_later(
    command: Command, job: ReplaceJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows.pretend(monkeypatch)
    monkeypatch.setattr("maskcls.files.PATIENCE", 0.1)
    shown: list[IO[str]] = []

    def train(config: TrainConfig, run: Run) -> None:
        if config.epochs == 1:
            shown.append((run.directory.parent / "leaderboard.csv").open("w"))
        else:
            shown[0].close()

    job(train)
    result = command("train", SYNTHETIC, "-m", "epochs=1,2", "hydra.sweep.dir=sweep")
    assert (result.status, len(leaderboard(Path("sweep")))) == (0, 2)
    (line,) = result.err.splitlines()
    assert "leaderboard.csv: cannot be replaced: " in line
    assert line.endswith("; the next job of the sweep writes it again")


def leaderboard(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def jobs_of(sweep: Path) -> list[str]:
    return sorted(path.name for path in sweep.iterdir() if path.is_dir())


def test_a_failing_job_leaves_the_others_alone(command: Command, job: ReplaceJob) -> None:
    ends = {1: None, 2: UserError("no images"), 3: TrainingError("the loss is nan"), 4: None, 5: ValueError("a defect")}
    boards = []

    def train(config: TrainConfig, run: Run) -> float:
        sweep = run.directory.parent
        boards.append([row["run"] for row in leaderboard(sweep)] if (sweep / "leaderboard.csv").exists() else [])
        logging.getLogger("maskcls").info("this is job %d", config.epochs)
        run.record["best"] = {"epoch": 1, "val_accuracy": config.epochs / 10, "val_loss": 0.5}
        if error := ends[config.epochs]:
            raise error
        return config.epochs / 10

    job(train)
    result = command("train", SYNTHETIC, "-m", "epochs=1,2,3,4,5", "hydra.sweep.dir=sweep")
    sweep = Path("sweep")
    names = [f"{number}_epochs-{number + 1}" for number in range(5)]
    defect = f"ValueError: a defect (a defect in maskcls; see {sweep.absolute()}/4_epochs-5/train.log)"

    assert result.status == 3
    assert result.err.splitlines() == [
        "maskcls-train: no images",
        "maskcls-train: the loss is nan",
        f"maskcls-train: {defect}",
    ]
    assert jobs_of(sweep) == names
    assert [read_run(sweep / name)["exit_status"] for name in names] == [0, 2, 3, 0, 1]

    # written after each job, the best first, those that failed last
    assert [sorted(board) for board in boards] == [names[:count] for count in range(5)]
    assert [(row["run"], row["status"], row["epochs"], row["error"]) for row in leaderboard(sweep)] == [
        (names[3], "finished", "4", ""),
        (names[0], "finished", "1", ""),
        (names[4], "failed", "5", defect),
        (names[2], "failed", "3", "the loss is nan"),
        (names[1], "failed", "2", "no images"),
    ]

    # each log has the lines of its own job alone
    logs = [(sweep / name / "train.log").read_text(encoding="utf-8") for name in names]
    assert [re.findall(r"this is job (\d)", text) for text in logs] == [["1"], ["2"], ["3"], ["4"], ["5"]]
    assert [re.findall(r"ERROR maskcls-train: ([\w ]+)", text) for text in logs] == [
        [], ["no images"], ["the loss is nan"], [], ["ValueError"],
    ]  # fmt: skip


def test_an_interrupted_sweep_ends_there(command: Command, job: ReplaceJob) -> None:
    def train(config: TrainConfig, run: Run) -> None:
        if config.epochs == 2:
            raise KeyboardInterrupt

    job(train)
    result = command("train", SYNTHETIC, "-m", "epochs=1,2,3", "hydra.sweep.dir=sweep")
    line = f"interrupted; continue with: maskcls-train resume={Path('sweep').absolute()}\n"
    assert (result.status, result.err) == (130, line)
    assert [(row["run"], row["status"]) for row in leaderboard(Path("sweep"))] == [
        ("0_epochs-1", "finished"),
        ("1_epochs-2", "interrupted"),
    ]


def test_a_sweep_of_one_job_survives_a_leaderboard_that_cannot_be_written(
    command: Command, job: ReplaceJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job(failing(os_error(errno.ENOSPC, "/disk/best.safetensors")))
    monkeypatch.setattr("maskcls.reporting.leaderboard.table", lambda path: nothing_written(path.name))
    result = command("train", SYNTHETIC, "-m", "hydra.sweep.dir=sweep")
    assert (result.status, result.err) == (5, "maskcls-train: the system's words: /disk/best.safetensors\n")
    assert jobs_of(Path("sweep")) == ["0"]


def test_jobs_that_would_share_a_directory_end_the_sweep(command: Command, job: ReplaceJob) -> None:
    job(nothing)
    result = command("train", SYNTHETIC, "-m", "epochs=1,2", "hydra.sweep.dir=sweep", "hydra.sweep.subdir=same")
    message = f"maskcls-train: {Path.cwd()}/sweep/same: holds a run already, and would be overwritten\n"
    assert (result.status, result.err) == (2, message)
    assert read_run(Path("sweep/same"))["overrides"] == [SYNTHETIC, "epochs=1"]


@pytest.mark.parametrize(
    ("number", "overrides", "name"),
    [
        (0, "", "0"),
        (3, "model=mycnn,optim.lr=0.1", "3_model-mycnn_optim.lr-0.1"),
        (1, "data.root='/얼굴/a b'", "1_data.root------a-b"),
        (12, "x=" + "a" * 200, "12_x-" + "a" * 95),
        (3, "optim.lr=1e+18,optim=sgd", "3_optim.lr-1e18_optim-sgd"),  # not like 1e-18
    ],
)
def test_a_jobs_directory_has_a_name_that_every_file_system_takes(number: int, overrides: str, name: str) -> None:
    assert _slug(number, overrides) == name


def test_a_launcher_can_send_the_job_to_another_process() -> None:
    code = (
        "import pickle, sys; job = pickle.load(sys.stdin.buffer); from omegaconf import OmegaConf; "
        "print(job.__qualname__, OmegaConf.has_resolver('maskcls.slug'), 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(run_job), capture_output=True, check=True)
    assert result.stdout == b"run_job True False\n"


def test_the_password_of_a_stream_is_not_recorded(command: Command, job: ReplaceJob, tmp_path: Path) -> None:
    address = "rtsp://me:secret@192.168.1.20/video"

    def predict(config: PredictConfig, run: Run) -> None:
        assert config.source == address

    job(predict)
    (tmp_path / "best.safetensors").touch()
    directory = tmp_path / "prediction"
    typed = (f"ckpt={tmp_path}/best.safetensors", f"source={address}", f"hydra.run.dir={directory}")
    assert command("predict", *typed).status == 0
    written = {path.name: path.read_text() for path in directory.rglob("*") if path.is_file()}
    assert "rtsp://me:***@192.168.1.20/video" in written["run.json"]
    assert "rtsp://me:***@192.168.1.20/video" in written["config.yaml"]
    assert not [name for name, text in written.items() if "secret" in text]
