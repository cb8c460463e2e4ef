"""A training that was broken off ends bit for bit as one that was not."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torture import contents, differences

from maskcls import cli
from maskcls.errors import UserError
from maskcls.models.checkpoint import load_checkpoint, save_checkpoint
from maskcls.run import Run, read_run
from maskcls.training.checkpoints import Checkpoints, latest, repair_best

# every part of a training's state: averages, a schedule, augmentation, dropout, an optimizer with moments
SETTINGS = (
    "model=mycnn", "optim=adam", "augment=light", "schedule=onecycle", "ema_decay=0.9", "data=folder",
    "data.input_size=16", "data.batch_size=4", "epochs=3", "plots=false", "threads=1", "early_stopping.patience=5",
    "evaluation.equalised_size=null", "precision=float32",
)  # fmt: skip


def train(root: Path, directory: Path, *overrides: str) -> int:
    return cli.main("train", [*SETTINGS, f"data.root={root}", f"hydra.run.dir={directory}", *overrides])


@pytest.fixture(scope="module")
def uninterrupted(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By precision: what a run that nothing befell has left."""
    found = {}
    for precision in ("float32", "bfloat16"):
        directory = tmp_path_factory.mktemp("whole") / precision
        assert train(dataset, directory, f"precision={precision}") == 0
        found[precision] = contents(directory)
    return found


def signal_at(step: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process be asked to stop after a step, once."""
    real = Checkpoints.save_if_due
    steps = iter(range(1, 10_000))

    def save_if_due(self: Checkpoints, trainer: Any) -> None:
        real(self, trainer)
        if next(steps) == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Checkpoints, "save_if_due", save_if_due)


# 48 images are 12 steps an epoch; 12 and 24 are the last of theirs: validation is interrupted
@pytest.mark.parametrize(
    ("precision", "step", "number"),
    [
        ("float32", 1, signal.SIGTERM),
        ("float32", 12, signal.SIGINT),
        ("float32", 19, signal.SIGUSR1),
        ("bfloat16", 24, signal.SIGTERM),
        ("bfloat16", 29, signal.SIGINT),
    ],
)
def test_an_interrupted_training_goes_on_bit_for_bit(
    uninterrupted: dict[str, Any],
    dataset: Path,
    precision: str,
    step: int,
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        signal_at(step, number, patch)
        assert train(dataset, run, f"precision={precision}") == 128 + number
    assert f"interrupted; it goes on with: maskcls-train resume={run}" in capsys.readouterr().err
    record = read_run(run)
    assert (record["status"], record["exit_status"]) == ("interrupted", 128 + number)
    assert cli.main("train", [f"resume={run}"]) == 0
    assert differences(uninterrupted[precision], contents(run)) == []
    assert read_run(run)["resumed"][0]["after"]["exit_status"] == 128 + number


def test_a_training_may_be_interrupted_again_and_again(
    uninterrupted: dict[str, Any], dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        signal_at(2, signal.SIGTERM, patch)
        assert train(dataset, run) == 143
    statuses = []
    for _ in range(10):
        with monkeypatch.context() as patch:
            signal_at(7, signal.SIGTERM, patch)
            statuses.append(cli.main("train", [f"resume={run}"]))
        if statuses[-1] == 0:
            break
    assert statuses == [143, 143, 143, 143, 0]
    assert differences(uninterrupted["float32"], contents(run)) == []


def kill_when(command: list[str], is_time: Any) -> None:
    """Start a command, and kill it when it is time."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not is_time():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()


def test_a_killed_training_goes_on_bit_for_bit(uninterrupted: dict[str, Any], dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    # every step is checkpointed, so that one is hit that is within an epoch
    command = [sys.executable, "-m", "maskcls", "train", *SETTINGS, f"data.root={dataset}", f"hydra.run.dir={run}"]
    kill_when([*command, "checkpoint.every=1steps"], (run / "checkpoints" / "previous.pt").exists)
    assert read_run(run)["status"] == "running"
    assert cli.main("train", [f"resume={run}"]) == 0
    assert differences(uninterrupted["float32"], contents(run)) == []


def test_more_epochs_go_on_where_a_finished_training_ended(dataset: Path, tmp_path: Path, capsys: Any) -> None:
    constant = ("schedule=constant", "threads=1")
    assert train(dataset, tmp_path / "long", *constant) == 0
    assert train(dataset, tmp_path / "short", *constant, "epochs=2") == 0
    assert cli.main("train", [f"resume={tmp_path / 'short'}", "epochs=3"]) == 0
    assert differences(contents(tmp_path / "long"), contents(tmp_path / "short")) == []
    capsys.readouterr()
    assert cli.main("train", [f"resume={tmp_path / 'short'}"]) == 0
    assert "has finished, after 3 epochs; epochs=N goes on to more" in capsys.readouterr().out
    assert cli.main("train", [f"resume={tmp_path / 'short'}", "plots=true"]) == 2
    assert "plots=true: " in capsys.readouterr().err


def break_off(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> Path:
    """Interrupt a training, ``run``, on a copy of the data set, ``data``, whose folder is returned."""
    root = shutil.copytree(dataset, tmp_path / "data")
    with monkeypatch.context() as patch:
        signal_at(5, signal.SIGTERM, patch)
        assert train(root, tmp_path / "run", *overrides) == 143
    return root


def test_other_data_is_refused(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    root = break_off(dataset, tmp_path, monkeypatch)
    next((root / "Train" / "WithMask").iterdir()).unlink()
    capsys.readouterr()
    assert cli.main("train", [f"resume={tmp_path / 'run'}"]) == 2
    assert f"{root} does not hold the files that this run began with" in capsys.readouterr().err
    # moved data is the same data
    shutil.copytree(dataset, tmp_path / "moved")
    assert cli.main("train", [f"resume={tmp_path / 'run'}", f"data.root={tmp_path / 'moved'}"]) == 0


def test_files_that_are_left_out_are_the_same_ones(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    root = break_off(dataset, tmp_path, monkeypatch, "data.on_bad_image=skip")
    changed = next((root / "Train" / "WithMask").iterdir())
    size = changed.stat().st_size
    changed.write_bytes(bytes(size))
    capsys.readouterr()
    assert cli.main("train", [f"resume={tmp_path / 'run'}"]) == 2
    assert f"{root} does not hold the files that this run began with" in capsys.readouterr().err


def test_files_that_have_changed_are_counted(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    root = break_off(dataset, tmp_path, monkeypatch)
    (root / "Train" / "WithMask" / "0.png").touch()
    capsys.readouterr()
    assert cli.main("train", [f"resume={tmp_path / 'run'}"]) == 0
    assert "1 files have changed since" in capsys.readouterr().err


def test_fewer_epochs_than_have_begun_are_refused(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        signal_at(27, signal.SIGTERM, patch)  # the third step of the third epoch
        assert train(dataset, run) == 143
    capsys.readouterr()
    assert cli.main("train", [f"resume={run}", "epochs=2"]) == 2
    assert "epochs=2, but epoch 3 has begun; give that or more" in capsys.readouterr().err
    assert cli.main("train", [f"resume={run}"]) == 0


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_death_between_the_checkpoint_and_the_record_loses_neither(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_metrics", lambda *_: None)
        patch.setattr("maskcls.training.checkpoints.for_inference", full_disk)  # before best.pt is written
        assert train(dataset, run, "epochs=1") == 5
    assert (run / "checkpoints" / "last.pt").exists()
    assert "best" not in read_run(run)
    assert cli.main("train", [f"resume={run}"]) == 0
    record = read_run(run)
    assert record["best"]["epoch"] == record["final"]["epoch"] == 1
    assert load_checkpoint(run / "checkpoints" / "best.pt")["progress"]["best"] == record["best"]


def test_a_damaged_checkpoint_never_takes_the_place_of_a_whole_one(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        signal_at(30, signal.SIGTERM, patch)
        assert train(dataset, run) == 143
    damage(run / "checkpoints" / "last.pt")
    with monkeypatch.context() as patch:
        patch.setattr("maskcls.models.archive.sync", full_disk)
        assert cli.main("train", [f"resume={run}"]) == 5
    assert latest(run / "checkpoints")[1].name == "previous.pt"
    assert cli.main("train", [f"resume={run}"]) == 0


def write_training(directory: Path, epoch: int, best_epoch: int, in_epoch: bool = False) -> dict[str, Any]:
    rows = [{"epoch": n + 1, "val_loss": 1.0, "val_accuracy": 0.5} for n in range(epoch)]
    progress = {"epoch": epoch, "step": epoch, "stopping_reference": 0.5, "epochs_without_improvement": 0}
    content = {
        "model": {"w": torch.full((3,), float(epoch))}, "config": {}, "classes": ["A", "B"], "positive_class": None,
        "normalization": {"mean": (0, 0, 0), "std": (1, 1, 1)}, "input_size": 16, "precision": "float32",
        "temperature": 1.0, "threshold": 0.5, "data_fingerprint": "0",
        "progress": {**progress, "best": rows[best_epoch - 1]},
        "optimizer": {}, "schedule": {}, "scaler": {}, "ema": None, "rng": {}, "rows": rows, "retries": 0,
        "epoch_so_far": {} if in_epoch else None,
    }  # fmt: skip
    save_checkpoint(directory / "last.pt", content, previous=directory / "previous.pt")
    return content


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert latest(tmp_path / "none") is None
    for epoch in (1, 2):
        write_training(tmp_path, epoch, epoch)
    content, path = latest(tmp_path)
    assert (content["progress"]["epoch"], path.name) == (2, "last.pt")
    damage(tmp_path / "last.pt")
    content, path = latest(tmp_path)
    assert (content["progress"]["epoch"], path.name) == (1, "previous.pt")
    assert "last.pt: a damaged file: its bytes are not those that were written" in caplog.text
    assert f"going on from {path}, the checkpoint before" in caplog.text
    (tmp_path / "last.pt").unlink()
    assert latest(tmp_path)[1].name == "previous.pt"
    damage(tmp_path / "previous.pt")
    with pytest.raises(UserError, match=r"previous\.pt: a damaged file"):
        latest(tmp_path)


def test_the_best_checkpoint_is_made_of_the_last_where_it_can_be(tmp_path: Path) -> None:
    content = write_training(tmp_path, 2, 2)
    assert repair_best(tmp_path, content)
    assert torch.load(tmp_path / "best.pt", weights_only=True)["progress"]["epoch"] == 2
    damage(tmp_path / "best.pt")
    assert repair_best(tmp_path, content)
    assert repair_best(tmp_path, write_training(tmp_path, 3, 2))  # it is the one of epoch 2 already
    damage(tmp_path / "best.pt")
    assert not repair_best(tmp_path, write_training(tmp_path, 3, 2))
    assert not repair_best(tmp_path, write_training(tmp_path, 2, 2, in_epoch=True))


def test_a_training_goes_on_from_the_checkpoint_before_and_without_its_best(
    uninterrupted: dict[str, Any], dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        signal_at(30, signal.SIGTERM, patch)
        assert train(dataset, run) == 143
    damage(run / "checkpoints" / "last.pt")
    (run / "checkpoints" / "best.pt").unlink()
    assert cli.main("train", [f"resume={run}"]) == 0
    found = contents(run)
    assert differences(uninterrupted["float32"]["metrics"], found["metrics"]) == []
    assert differences(uninterrupted["float32"]["last.pt"]["model"], found["last.pt"]["model"]) == []


@pytest.mark.hostile
@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["progress"].update(step="many"),
        lambda content: content["progress"].update(epoch=-1),
        lambda content: content["optimizer"].update(state={0: {"exp_avg": torch.zeros(7, 7)}}),
        lambda content: content["optimizer"].update(state={99: {"exp_avg": torch.zeros(1)}}),
        lambda content: content["optimizer"].clear(),
        lambda content: content["rng"].update(cpu=torch.zeros(3, dtype=torch.uint8)),
        lambda content: content["rng"].clear(),
        lambda content: content.update(ema=None),
        lambda content: content["ema"].update(weights={}),
        lambda content: content.update(epoch_so_far={"seen": -1}),
        lambda content: content["model"].popitem(),
        lambda content: content.update(rows=[1]),
        lambda content: content.update(retries=400),
        lambda content: content.update(retries=-1),
        lambda content: content["progress"].pop("best"),
        lambda content: content["progress"].update(best={"epoch": 1}),
        lambda content: content.update(rows=[{"epoch": 1, "val_loss": 1.0, "val_accuracy": float("nan")}]),
        lambda content: content["epoch_so_far"].update(seen=0),
        lambda content: content["epoch_so_far"].update(seconds=float("inf")),
    ],
)
def test_a_state_that_makes_no_sense_is_refused_in_a_line(
    change: Any, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        signal_at(1, signal.SIGTERM, patch)
        assert train(dataset, run) == 143
    path = run / "checkpoints" / "last.pt"
    content = torch.load(path, weights_only=True)
    change(content)
    save_checkpoint(path, content)
    before = json.dumps(read_run(run)["overrides"])
    capsys.readouterr()
    assert cli.main("train", [f"resume={run}"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("maskcls-train: ")]
    assert line.startswith(f"maskcls-train: ckpt={path}: ")
    assert json.dumps(read_run(run)["overrides"]) == before
