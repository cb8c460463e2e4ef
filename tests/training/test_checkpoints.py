"""Checkpoints as a training goes, and a training that was interrupted ends bit for bit as one that was not."""

import dataclasses
import errno
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runs import damage, interrupt_at, load, resume, rewrite, train
from torture import differences
from trainings import ABOUT, row, tiny_state

from maskcls.errors import UserError
from maskcls.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from maskcls.models.document import EpochRow, PartialEpoch, Progress
from maskcls.run import BEST, LAST, PREVIOUS, Run, read_run
from maskcls.training import checkpoints
from maskcls.training.checkpoints import CheckpointWriter, latest, repair_best
from maskcls.training.snapshot import capture
from maskcls.training.state import EpochSums, TrainingState, average_weights
from maskcls.wording import counted

# --- writing ---


def state_at(epoch: int, best_epoch: int | None = None, *, in_epoch: bool = False) -> TrainingState:
    """A training after some epochs."""
    state = tiny_state()
    state.rows = [row(number) for number in range(1, epoch + 1)]
    best = None if best_epoch is None else state.rows[best_epoch - 1]
    state.progress = Progress(epoch, 8 * epoch, best, stopping_reference=0.5)
    if in_epoch:
        state.sums = EpochSums.on(state.device, PartialEpoch(2, 12, 8.0, 6, 0.1, 1.0, 0.0))
    return state


def test_each_checkpoint_replaces_the_one_before(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path / "new", ABOUT, None)
    found = []
    for epoch in (1, 2, 3):
        writer.save(state_at(epoch, 1), is_best=epoch == 1)
        names = sorted(path.name for path in (tmp_path / "new").iterdir())
        found.append({name: load_checkpoint(tmp_path / "new" / name).document.progress.epoch for name in names})
    assert found == [{BEST: 1, LAST: 1}, {BEST: 1, LAST: 2, PREVIOUS: 1}, {BEST: 1, LAST: 3, PREVIOUS: 2}]


def test_the_best_checkpoint_holds_what_was_validated_and_nothing_to_resume_from(tmp_path: Path) -> None:
    state = state_at(1, 1)
    state.average = average_weights(state.model, 0.5)
    assert state.average is not None
    with torch.no_grad():
        for parameter in state.average.module.parameters():
            parameter.fill_(0.25)
    CheckpointWriter(tmp_path, ABOUT, None).save(state, is_best=True)
    best, last = load_checkpoint(tmp_path / BEST), load_checkpoint(tmp_path / LAST)
    assert best.snapshot is None
    assert best.document == dataclasses.replace(last.document, training=None)
    assert all((weight == 0.25).all() for weight in best.weights.values())
    assert torch.equal(last.weights["classifier.weight"], state.model.state_dict()["classifier.weight"])


def test_what_a_bad_batch_has_left_is_not_written(tmp_path: Path) -> None:
    writer, state = CheckpointWriter(tmp_path, ABOUT, "1steps"), state_at(1, 1)
    writer.save(state)
    state.progress = dataclasses.replace(state.progress, step=9)
    state.is_sound = torch.zeros((), dtype=torch.bool)
    writer.save_if_due(state)
    writer.save(state)
    assert load_checkpoint(tmp_path / LAST).document.progress.step == 8


@pytest.mark.parametrize(("every", "saved"), [(None, []), ("1steps", [1, 2, 3, 4, 5, 6]), ("3steps", [3, 6])])
def test_checkpoints_come_after_as_many_steps(every: str | None, saved: list[int], tmp_path: Path) -> None:
    writer, state, found = CheckpointWriter(tmp_path, ABOUT, every), tiny_state(), []
    for step in range(1, 7):
        state.progress = Progress(step=step)
        writer.save_if_due(state)
        if (tmp_path / LAST).exists() and load_checkpoint(tmp_path / LAST).document.progress.step == step:
            found.append(step)
    assert found == saved


def test_steps_are_counted_from_the_checkpoint_of_an_epoch(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, ABOUT, "3steps")
    writer.save(state_at(1, 1))  # step 8
    for step, expected in ((9, 8), (10, 8), (11, 11)):
        state = state_at(1, 1)
        state.progress = dataclasses.replace(state.progress, step=step)
        writer.save_if_due(state)
        assert load_checkpoint(tmp_path / LAST).document.progress.step == expected


def test_checkpoints_come_after_as_many_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []
    saved: list[float] = []
    monkeypatch.setattr("time.monotonic", lambda: times[-1])
    monkeypatch.setattr(checkpoints, "save_checkpoint", lambda *_, **__: saved.append(times[-1]))
    writer = CheckpointWriter(tmp_path, ABOUT, "1.5min", _saved_at=1000.0)
    for now in (1000.0, 1089.0, 1090.0, 1100.0, 1179.0, 1180.0):
        times.append(now)
        writer.save_if_due(tiny_state())
    assert saved == [1090.0, 1180.0]


# --- which is resumed ---


def write_training(directory: Path, epoch: int, best_epoch: int | None, *, in_epoch: bool = False) -> Checkpoint:
    """Write last as a training would, and previous; return last."""
    checkpoint = capture(state_at(epoch, best_epoch, in_epoch=in_epoch), ABOUT)
    save_checkpoint(directory / LAST, checkpoint, previous=directory / PREVIOUS)
    return checkpoint


def latest_epoch(directory: Path) -> tuple[int, str]:
    found = latest(directory)
    assert found is not None
    return found[0].document.progress.epoch, found[1].name


def test_if_the_last_checkpoint_is_damaged_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert latest(tmp_path / "none") is None
    for epoch in (1, 2):
        write_training(tmp_path, epoch, epoch)
    assert latest_epoch(tmp_path) == (2, LAST)
    damage(tmp_path / LAST)
    assert latest_epoch(tmp_path) == (1, PREVIOUS)
    assert f"ckpt={tmp_path / LAST}: " in caplog.text
    assert "damaged" in caplog.text
    assert f"resuming from {tmp_path / PREVIOUS}, the checkpoint before" in caplog.text
    (tmp_path / LAST).unlink()
    assert latest_epoch(tmp_path) == (1, PREVIOUS)
    damage(tmp_path / PREVIOUS)
    with pytest.raises(UserError, match=rf"^ckpt={tmp_path / PREVIOUS}: .*damaged"):
        latest(tmp_path)


def test_the_message_about_the_last_checkpoint_counts_if_both_are_damaged(tmp_path: Path) -> None:
    for epoch in (1, 2):
        write_training(tmp_path, epoch, epoch)
    damage(tmp_path / LAST)
    damage(tmp_path / PREVIOUS)
    with pytest.raises(UserError, match=rf"^ckpt={tmp_path / LAST}: "):
        latest(tmp_path)


def test_a_checkpoint_for_inference_is_not_resumed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / LAST, write_training(tmp_path, 1, 1).for_inference())
    with pytest.raises(UserError, match=r"holds a network for inference only; a training resumes from last\."):
        latest(tmp_path)


@pytest.mark.parametrize("name", ["last.pt", "previous.pt"])
def test_checkpoints_of_an_older_version_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError) as caught:
        latest(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: an older version of maskcls wrote these checkpoints, and this one cannot resume them"
    )
    write_training(tmp_path, 1, 1)
    assert latest_epoch(tmp_path) == (1, LAST)


# --- the best checkpoint ---


def test_the_best_checkpoint_is_rebuilt_from_the_last_if_they_are_of_one_epoch(tmp_path: Path) -> None:
    checkpoint = write_training(tmp_path, 2, 2)
    assert repair_best(tmp_path, checkpoint)
    best = load_checkpoint(tmp_path / BEST)
    assert best.document.progress.epoch == 2
    assert best.snapshot is None
    damage(tmp_path / BEST)
    assert repair_best(tmp_path, checkpoint)
    assert load_checkpoint(tmp_path / BEST).document.progress == checkpoint.document.progress
    before = (tmp_path / BEST).stat().st_mtime_ns
    assert repair_best(tmp_path, write_training(tmp_path, 3, 2))  # it is the one of epoch 2 already
    assert (tmp_path / BEST).stat().st_mtime_ns == before


def test_the_best_checkpoint_is_replaced_if_it_is_of_an_earlier_epoch(tmp_path: Path) -> None:
    assert repair_best(tmp_path, write_training(tmp_path, 1, 1))
    assert repair_best(tmp_path, write_training(tmp_path, 2, 2))
    assert load_checkpoint(tmp_path / BEST).document.progress.epoch == 2


@pytest.mark.parametrize(("epoch", "in_epoch"), [(3, False), (2, True)])
def test_the_best_checkpoint_cannot_be_rebuilt_from_other_weights(
    epoch: int, tmp_path: Path, *, in_epoch: bool
) -> None:
    checkpoint = write_training(tmp_path, epoch, 2, in_epoch=in_epoch)
    assert not repair_best(tmp_path, checkpoint)
    assert not (tmp_path / BEST).exists()


def test_there_is_nothing_to_rebuild_before_the_first_epoch_has_ended(tmp_path: Path) -> None:
    assert repair_best(tmp_path, write_training(tmp_path, 0, None, in_epoch=True))
    assert not (tmp_path / BEST).exists()


# --- whole trainings, interrupted and resumed ---

# every part of a training's state: an average, a schedule, augmentation, dropout, an optimizer with moments
SETTINGS = (
    "model=mycnn", "optim=adam", "augment=light", "schedule=onecycle", "ema_decay=0.9", "data.input_size=16",
    "data.batch_size=4", "epochs=3", "early_stopping.patience=5",
)  # fmt: skip
Uninterrupted = Callable[[str], Path]


@pytest.fixture(scope="module")
def uninterrupted(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    """The directory of a run that nothing interrupted, by precision."""
    folder = tmp_path_factory.mktemp("whole")

    def directory(precision: str) -> Path:
        if not (folder / precision).exists():
            assert train(dataset, folder / precision, *SETTINGS, f"precision={precision}") == 0
        return folder / precision

    return directory


def break_off(
    root: Path, run: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str, step: int = 5, number: int = signal.SIGTERM
) -> None:
    """Begin a training, and interrupt it after a step."""
    with monkeypatch.context() as patch:
        interrupt_at(step, number, patch)
        assert train(root, run, *SETTINGS, *overrides) == 128 + number


# 48 images are 12 steps an epoch; 12 and 24 are the last of theirs: the signal meets the validation
@pytest.mark.parametrize(
    ("precision", "step", "number"),
    [
        ("float32", 1, signal.SIGTERM),
        ("float32", 12, signal.SIGINT),
        ("float32", 19, signal.SIGUSR1),
        ("bfloat16", 24, signal.SIGTERM),
        ("bfloat16", 29, signal.SIGINT),
        ("float16", 17, signal.SIGTERM),
    ],
)
def test_an_interrupted_training_goes_on_bit_for_bit(
    uninterrupted: Uninterrupted,
    dataset: Path,
    precision: str,
    step: int,
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    break_off(dataset, run, monkeypatch, f"precision={precision}", step=step, number=number)
    assert f"interrupted; continue with: maskcls-train resume={run}" in capsys.readouterr().err
    record = read_run(run)
    assert (record["status"], record["exit_status"]) == ("interrupted", 128 + number)
    assert load(run).document.progress.step == step
    assert resume(run) == 0
    epochs, steps = divmod(step - 1, 12)  # of a signal after the last step, the epoch is not validated
    path = run / "checkpoints" / LAST
    done = f"{counted(epochs, 'epoch')} and {counted(steps + 1, 'step')} of the next"
    assert f"resumed from {path}, after {done}" in capsys.readouterr().out
    assert differences(uninterrupted(precision), run) == []
    assert read_run(run)["resumed"][0]["after"]["exit_status"] == 128 + number


def test_the_comparison_notices_another_training(uninterrupted: Uninterrupted) -> None:
    found = differences(uninterrupted("float32"), uninterrupted("bfloat16"))
    expected = {
        f"{LAST}/tensors/classifier.bias",
        f"{LAST}/tensors/training/optimizer/0/exp_avg",
        f"{LAST}/tensors/training/average/classifier.bias",
        f"{LAST}/document/training/rows/0/train_loss",
        f"{BEST}/tensors/classifier.bias",
        "metrics.csv/0/train_loss",
        "run.json/final/train_loss",
    }
    assert expected <= set(found)
    assert not any("seconds" in name for name in found)


def test_a_training_may_be_interrupted_again_and_again(
    uninterrupted: Uninterrupted, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    break_off(dataset, run, monkeypatch, step=2)
    statuses = []
    for _ in range(10):
        with monkeypatch.context() as patch:
            interrupt_at(7, signal.SIGTERM, patch)
            statuses.append(resume(run))
        if statuses[-1] == 0:
            break
    assert statuses == [143, 143, 143, 143, 0]
    assert differences(uninterrupted("float32"), run) == []


def kill_when(command: list[str], is_time: Callable[[], bool]) -> None:
    """Start a command, and kill it when it is time."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not is_time():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()


def test_a_killed_training_goes_on_bit_for_bit(uninterrupted: Uninterrupted, dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fixed = ("data=folder", "plots=false", "threads=1", "evaluation.equalised_size=null", "precision=float32")
    # every step is checkpointed, so that one within an epoch is hit
    command = [sys.executable, "-m", "maskcls", "train", *fixed, *SETTINGS, f"data.root={dataset}"]
    kill_when([*command, f"hydra.run.dir={run}", "checkpoint.every=1steps"], (run / "checkpoints" / PREVIOUS).exists)
    assert read_run(run)["status"] == "running"
    assert resume(run) == 0
    assert differences(uninterrupted("float32"), run) == []


def test_more_epochs_go_on_where_a_finished_training_ended(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long, short = tmp_path / "long", tmp_path / "short"
    assert train(dataset, long, *SETTINGS, "schedule=constant") == 0
    assert train(dataset, short, *SETTINGS, "schedule=constant", "epochs=2") == 0
    assert resume(short, "epochs=3") == 0
    assert differences(long, short) == []
    capsys.readouterr()
    assert resume(short) == 0
    assert "has finished, after 3 epochs; epochs=N trains it for longer" in capsys.readouterr().out
    assert resume(short, "plots=true") == 2
    assert "plots=true: " in capsys.readouterr().err


def test_other_data_is_refused(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, root = tmp_path / "run", Path(shutil.copytree(dataset, tmp_path / "data"))
    break_off(root, run, monkeypatch)
    next((root / "Train" / "WithMask").iterdir()).unlink()
    capsys.readouterr()
    assert resume(run) == 2
    assert f"{root} does not hold the files that this run began with" in capsys.readouterr().err
    # moved data is the same data
    shutil.copytree(dataset, tmp_path / "moved")
    assert resume(run, f"data.root={tmp_path / 'moved'}") == 0


def test_the_same_files_must_be_skipped(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, root = tmp_path / "run", Path(shutil.copytree(dataset, tmp_path / "data"))
    break_off(root, run, monkeypatch, "data.on_bad_image=skip")
    changed = next((root / "Train" / "WithMask").iterdir())
    changed.write_bytes(bytes(changed.stat().st_size))
    capsys.readouterr()
    assert resume(run) == 2
    assert f"{root} does not hold the files that this run began with" in capsys.readouterr().err


def test_files_that_have_changed_are_counted(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, root = tmp_path / "run", Path(shutil.copytree(dataset, tmp_path / "data"))
    break_off(root, run, monkeypatch)
    (root / "Train" / "WithMask" / "0.png").touch()
    capsys.readouterr()
    assert resume(run) == 0
    assert "1 file changed after " in capsys.readouterr().err


def test_fewer_epochs_than_have_begun_are_refused(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    break_off(dataset, run, monkeypatch, step=27)  # the third step of the third epoch
    capsys.readouterr()
    assert resume(run, "epochs=2") == 2
    assert "epochs=2, but epoch 3 has begun; give that or more" in capsys.readouterr().err
    assert resume(run) == 0


def test_a_run_without_a_checkpoint_starts_from_its_beginning(
    uninterrupted: Uninterrupted,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    break_off(dataset, run, monkeypatch, step=1)
    shutil.rmtree(run / "checkpoints")
    assert resume(run) == 0
    assert "no checkpoint was written: the training starts from its beginning" in capsys.readouterr().out
    assert differences(uninterrupted("float32"), run) == []


def test_a_run_of_an_older_version_is_refused_in_a_line(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    break_off(dataset, run, monkeypatch, step=1)
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    for name in ("best.pt", "last.pt", "previous.pt"):
        torch.save({"model": {}}, run / "checkpoints" / name)
    capsys.readouterr()
    assert resume(run) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("maskcls-train: ")]
    assert line == (
        f"maskcls-train: {run / 'checkpoints'}: an older version of maskcls wrote these checkpoints, and this one "
        "cannot resume them"
    )


# --- damage and death ---


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_death_between_the_checkpoint_and_the_record_loses_neither(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_metrics", lambda *_: None)
        patch.setattr(Checkpoint, "for_inference", full_disk)  # before best is written
        assert train(dataset, run, *SETTINGS, "epochs=1") == 5
    assert (run / "checkpoints" / LAST).exists()
    assert not (run / "checkpoints" / BEST).exists()
    assert not (run / "metrics.csv").exists()
    assert resume(run) == 0
    record = read_run(run)
    assert record["best"]["epoch"] == record["final"]["epoch"] == 1
    assert load(run, BEST).document.progress.best == EpochRow(**record["best"])
    assert (run / "metrics.csv").exists()


def test_a_damaged_checkpoint_never_takes_the_place_of_a_whole_one(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    break_off(dataset, run, monkeypatch, step=30)
    damage(run / "checkpoints" / LAST)

    def fail_at_last(path: Path) -> None:  # after the file that it replaces has become previous
        if LAST in path.name:
            full_disk()

    with monkeypatch.context() as patch:
        patch.setattr("maskcls.files.sync", fail_at_last)
        assert resume(run) == 5
    assert latest_epoch(run / "checkpoints") == (2, PREVIOUS)
    assert resume(run) == 0


def test_a_training_goes_on_from_the_checkpoint_before_and_without_its_best(
    uninterrupted: Uninterrupted,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    break_off(dataset, run, monkeypatch, step=30)
    damage(run / "checkpoints" / LAST)
    (run / "checkpoints" / BEST).unlink()
    capsys.readouterr()
    assert resume(run) == 0
    assert f"resuming from {run / 'checkpoints' / PREVIOUS}, the checkpoint before" in capsys.readouterr().err
    assert differences(uninterrupted("float32"), run) == []


def test_a_best_checkpoint_that_is_lost_is_searched_for_anew(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    break_off(dataset, run, monkeypatch, step=15)
    (run / "checkpoints" / BEST).unlink()
    # none of the epochs that follow is as good as the first
    checkpoint = load(run)
    first = {**vars(checkpoint.document.progress.best), "val_accuracy": 1.0, "val_loss": 0.0}
    last = run / "checkpoints" / LAST
    rewrite(last, last, {"progress.best": first, "training.rows": [first]})
    capsys.readouterr()
    assert resume(run) == 0
    assert f"{BEST} is missing or damaged: the best epoch is searched for anew from here" in capsys.readouterr().err
    record = read_run(run)
    assert record["best"]["epoch"] > 1
    assert load(run, BEST).document.progress.best == EpochRow(**record["best"])


def test_a_training_without_its_best_checkpoint_can_be_interrupted_again(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    break_off(dataset, run, monkeypatch, step=15)
    (run / "checkpoints" / BEST).unlink()
    for _ in range(2):  # so that previous is of the same kind
        with monkeypatch.context() as patch:
            interrupt_at(3, signal.SIGTERM, patch)
            assert resume(run) == 143
    assert resume(run) == 0


def test_a_training_is_resumed_in_another_precision(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as precision=auto is on another device
    run = tmp_path / "run"
    break_off(dataset, run, monkeypatch, "precision=float16")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("precision: float16", "precision: float32"))
    assert resume(run) == 0


def test_memory_that_runs_out_in_a_write_is_not_taken_for_that_of_a_batch(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("maskcls.training.checkpoints.save_checkpoint", no_memory)
    assert train(dataset, tmp_path / "run", *SETTINGS) == 5
    assert "out of memory while writing a checkpoint" in capsys.readouterr().err


# --- ResNet-18 with momentum ---


def test_an_interrupted_resnet_goes_on_bit_for_bit(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (
        "model=resnet18", "optim=sgd", "optim.momentum=0.9", "optim.lr=0.01", "data.input_size=32",
        "data.batch_size=16", "epochs=2", "augment=flip",
    )  # fmt: skip
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert train(dataset, whole, *settings) == 0
    with monkeypatch.context() as patch:
        interrupt_at(4, signal.SIGTERM, patch)  # the first step of the second epoch
        assert train(dataset, run, *settings) == 143
    assert resume(run) == 0
    assert differences(whole, run) == []
