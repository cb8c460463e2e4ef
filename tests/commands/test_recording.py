"""The run directory as a recorder of a training."""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import windows
from configuration import config_of, start_run
from tables import read_table
from trainings import ABOUT, plan_of, row, scripted, tiny_batches, tiny_state, validation_of

from maskcls.commands.recording import RunRecorder, forget_training
from maskcls.errors import MachineError
from maskcls.models.checkpoint import load_checkpoint
from maskcls.models.document import EpochRow
from maskcls.run import BEST, LAST, PREVIOUS, Run, read_run
from maskcls.training.checkpoints import CheckpointWriter
from maskcls.training.collapse import Collapse
from maskcls.training.loop import fit
from maskcls.training.recorder import EpochResult
from maskcls.training.state import TrainingState


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return start_run(tmp_path / "run", config_of("train", "data=synthetic"))


def recorder_of(run: Run, every: str | None = None, epochs: int = 3) -> RunRecorder:
    return RunRecorder(run, CheckpointWriter(run.checkpoints, ABOUT, every), epochs, "accuracy")


def epoch_of(run: Run, name: str) -> int:
    return load_checkpoint(run.checkpoints / name).document.progress.epoch


def as_row(values: dict[str, str]) -> EpochRow:
    """A row of metrics.csv, typed."""
    kinds: dict[str, Any] = {field.name: int if field.name in ("epoch", "step", "val_never_predicted") else float
                             for field in dataclasses.fields(EpochRow)}  # fmt: skip
    return EpochRow(**{name: kinds[name](value) for name, value in values.items()})


def test_a_training_leaves_checkpoints_rows_and_a_record(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    state = tiny_state()
    validator = scripted((0.5, 0.5), (0.4, 0.75), (0.6, 0.6))
    fit(state, tiny_batches(12), validator, plan_of(3), [recorder_of(run)])
    assert [epoch_of(run, name) for name in (LAST, PREVIOUS, BEST)] == [3, 2, 2]
    table = read_table(run.directory / "metrics.csv")
    assert list(table[0]) == [
        "epoch", "step", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
        "images_per_second", "seconds", "data_wait", "val_balanced_accuracy", "val_never_predicted",
    ]  # fmt: skip
    assert [as_row(values) for values in table] == state.rows
    record = read_run(run.directory)
    assert EpochRow(**record["final"]) == state.rows[2]
    assert EpochRow(**record["best"]) == state.rows[1]
    assert load_checkpoint(run.checkpoints / BEST).document.progress.best == state.rows[1]
    lines = [message for message in caplog.messages if message.startswith("epoch ")]
    assert [line.endswith("  best so far") for line in lines] == [True, True, False]


def test_the_line_of_an_epoch(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    training = {"train_loss": 0.12345, "train_accuracy": 0.9, "images_per_second": 1234.5}
    figures = row(2, val_loss=1.5, val_accuracy=1.0, val_balanced_accuracy=1.0, **training)
    state = tiny_state(rows=[row(1), figures])
    result = EpochResult(figures, is_best=False, validation=validation_of(), train_seconds=1.5, validate_seconds=0.25)
    recorder_of(run).epoch_done(state, result)
    assert caplog.messages == [
        "epoch   2/3  train loss 0.1235 accuracy  90.00%  val loss 1.5000 accuracy 100.00%  1234 images/s  2.0 s"
    ]
    caplog.clear()
    unequal = dataclasses.replace(result, row=dataclasses.replace(figures, val_balanced_accuracy=0.5))
    recorder_of(run).epoch_done(state, unequal)
    assert "val loss 1.5000 accuracy 100.00% balanced  50.00%  1234 images/s" in caplog.messages[0]


def test_the_seconds_of_an_epoch_are_counted_by_phase(run: Run) -> None:
    recorder, state = recorder_of(run), tiny_state(rows=[row()])
    result = EpochResult(row(), is_best=False, validation=validation_of(), train_seconds=1.5, validate_seconds=0.25)
    recorder.epoch_done(state, result)
    recorder.epoch_done(state, result)
    assert read_run(run.directory)["seconds"] == {"train": 3.0, "validate": 0.5}


def test_checkpoints_are_written_within_an_epoch_if_they_are_due(run: Run) -> None:
    recorder, steps = recorder_of(run, every="2steps"), []
    real = recorder.step_done

    def step_done(state: TrainingState) -> None:
        real(state)
        if (run.checkpoints / LAST).exists():
            steps.append(load_checkpoint(run.checkpoints / LAST).document.progress.step)

    recorder.step_done = step_done  # type: ignore[method-assign]
    fit(tiny_state(), tiny_batches(30), scripted((0.5, 0.5)), plan_of(1), [recorder])
    assert steps == [2, 2, 4, 4]
    assert epoch_of(run, LAST) == 1
    assert not (run.directory / "metrics.csv").read_text().startswith("epoch\n")


def test_an_interruption_leaves_a_checkpoint_to_resume_from(run: Run) -> None:
    state = tiny_state()
    state.progress = dataclasses.replace(state.progress, step=5)
    recorder_of(run).interrupted(state)
    checkpoint = load_checkpoint(run.checkpoints / LAST)
    assert checkpoint.document.progress.step == 5
    assert checkpoint.snapshot is not None
    assert not (run.checkpoints / BEST).exists()


def test_a_row_that_was_not_written_is_written_on_resuming(run: Run) -> None:
    state = tiny_state(rows=[row(1, val_accuracy=0.75), row(2)])
    state.progress = dataclasses.replace(state.progress, epoch=2, best=state.rows[0])
    recorder_of(run).write_rows(state)
    assert [as_row(values) for values in read_table(run.directory / "metrics.csv")] == state.rows
    assert (run.record["final"]["epoch"], run.record["best"]["epoch"]) == (2, 1)


@pytest.fixture
def shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[IO[str]]:
    """metrics.csv, which a spreadsheet shows on Windows until it is closed."""
    monkeypatch.setattr("maskcls.files.PATIENCE", 0.1)
    with (run.directory / "metrics.csv").open("w") as file, monkeypatch.context() as patch:
        windows.pretend(patch)
        yield file


def test_a_table_that_a_spreadsheet_shows_is_written_later(
    run: Run, shown: IO[str], caplog: pytest.LogCaptureFixture
) -> None:
    epochs = iter((bool, shown.close))
    validator = scripted((0.5, 0.5), (0.4, 0.75), meanwhile=lambda: next(epochs)())
    state = tiny_state()
    fit(state, tiny_batches(12), validator, plan_of(2), [recorder_of(run)])
    assert caplog.text.count("metrics.csv: cannot be replaced: ") == 1
    assert [as_row(values) for values in read_table(run.directory / "metrics.csv")] == state.rows


def test_a_table_that_a_spreadsheet_shows_to_the_end_is_asked_for(run: Run, shown: IO[str]) -> None:
    state = tiny_state()
    with pytest.raises(MachineError, match=r"metrics\.csv: cannot be replaced: .*; close the program that "):
        fit(state, tiny_batches(12), scripted((0.5, 0.5), (0.4, 0.75)), plan_of(2), [recorder_of(run)])
    assert [epoch_of(run, name) for name in (LAST, BEST)] == [2, 2]
    shown.close()
    recorder_of(run).write_rows(state)  # as resuming does
    assert [as_row(values) for values in read_table(run.directory / "metrics.csv")] == state.rows


def test_there_may_be_no_row_and_no_best(run: Run) -> None:
    recorder_of(run).write_rows(tiny_state())
    assert not (run.directory / "metrics.csv").exists()
    assert "final" not in run.record
    assert "best" not in run.record


def test_the_last_collapse_of_each_try_is_recorded(run: Run) -> None:
    recorder = recorder_of(run)
    for retries, epoch in ((0, 1), (0, 3), (1, 2)):
        recorder.collapsed(tiny_state(retries=retries), Collapse(epoch, 1, 0.7, 0.69))
    assert run.record["collapses"] == {
        "try 1": {"epoch": 3, "label": 1, "train_loss": 0.7, "chance_loss": 0.69},
        "try 2": {"epoch": 2, "label": 1, "train_loss": 0.7, "chance_loss": 0.69},
    }


@pytest.mark.parametrize(("accuracies", "stopped"), [((0.5, 0.5, 0.5), True), ((0.5, 0.6, 0.7), False)])
def test_early_stopping_is_said(
    accuracies: tuple[float, ...], run: Run, caplog: pytest.LogCaptureFixture, *, stopped: bool
) -> None:
    caplog.set_level(logging.INFO)
    epochs = 5 if stopped else 3
    validator = scripted(*((0.5, accuracy) for accuracy in accuracies))
    fit(tiny_state(), tiny_batches(12), validator, plan_of(epochs, patience=2), [recorder_of(run, epochs=epochs)])
    message = "stopped early: 2 epochs without a better validation figure"
    assert (message in caplog.messages) is stopped
    assert len(read_table(run.directory / "metrics.csv")) == 3


def test_another_try_starts_from_nothing(run: Run) -> None:
    recorder = recorder_of(run)
    fit(tiny_state(), tiny_batches(12), scripted((0.5, 0.5), (0.5, 0.6)), plan_of(2), [recorder])
    recorder.collapsed(tiny_state(), Collapse(1, 0, 0.7, 0.69))
    forget_training(run)
    assert list(run.checkpoints.iterdir()) == []
    assert not (run.directory / "metrics.csv").exists()
    record = read_run(run.directory)
    assert "final" not in record
    assert "best" not in record
    assert list(record["collapses"]) == ["try 1"]
    forget_training(run)  # a try that left nothing
