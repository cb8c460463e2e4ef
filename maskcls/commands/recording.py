"""The run directory as a recorder of a training: checkpoints, metrics.csv, run.json and the log."""

import dataclasses
import logging
import shutil

from maskcls.commands.imbalance import report_missed
from maskcls.config.types import Select
from maskcls.errors import MachineError
from maskcls.evaluation.metrics import differ
from maskcls.files import move
from maskcls.interrupts import deferred
from maskcls.models.document import EpochRow
from maskcls.run import BEST, EVALUATION, LAST, PREVIOUS, Run
from maskcls.training.checkpoints import CheckpointWriter
from maskcls.training.collapse import Collapse
from maskcls.training.recorder import EpochResult, Recorder
from maskcls.training.state import TrainingState
from maskcls.wording import counted

log = logging.getLogger(__name__)


class RunRecorder(Recorder):
    """Writes what a training reports into a run directory.

    Args:
        run: the run.
        writer: writes its checkpoints.
        epochs: number of epochs, for the log.
        select: what the best epoch goes by, for the log.
    """

    def __init__(self, run: Run, writer: CheckpointWriter, epochs: int, select: Select) -> None:
        self.run = run
        self.writer = writer
        self.epochs = epochs
        self.select = select

    def epoch_begins(self, state: TrainingState) -> None:
        """Set an evaluation aside, which is that of a shorter training: the run goes on beyond its epochs."""
        folder = self.run.directory / EVALUATION
        if folder.is_dir():
            aside = folder.with_name(f"{EVALUATION}_{state.progress.epoch}_epochs")
            shutil.rmtree(aside, ignore_errors=True)
            move(folder, aside)
            self.run.record.pop("test", None)
            self.run.write()
            epochs = counted(state.progress.epoch, "epoch")
            log.warning("the test after %s is not that of the run any more: it is in %s now", epochs, aside)

    def step_done(self, state: TrainingState) -> None:
        """Write a checkpoint if one is due."""
        self.writer.save_if_due(state)

    def epoch_done(self, state: TrainingState, result: EpochResult) -> None:
        """Write checkpoints, metrics.csv and run.json, and log the epoch's figures."""
        self.run.count_seconds("train", result.train_seconds)
        self.run.count_seconds("validate", result.validate_seconds)
        classes, validation = self.writer.about.classes, result.validation
        self.run.record["never_predicted"] = [classes[label] for label in validation.never_predicted]
        try:
            self.write_rows(state)
        except MachineError as error:  # on Windows, while a spreadsheet shows metrics.csv
            log.warning("%s; all rows are written again after the next epoch, and at the end", error)
        self.writer.save(state, is_best=result.is_best)
        self.run.write()
        is_best = result.is_best and self.select != "last"  # it would be each of them
        log.info(_epoch_line(result.row, self.epochs, is_best=is_best))
        report_missed(result.row.epoch, validation, classes)

    def write_rows(self, state: TrainingState) -> None:
        """Bring the last and the best epoch in the record up to date, and write metrics.csv."""
        if state.rows:
            self.run.record["final"] = dataclasses.asdict(state.rows[-1])
        if state.progress.best is not None:
            self.run.record["best"] = dataclasses.asdict(state.progress.best)
        self.run.write_metrics([dataclasses.asdict(row) for row in state.rows])

    def collapsed(self, state: TrainingState, collapse: Collapse) -> None:
        """Keep what was seen in run.json."""
        self.run.record.setdefault("collapses", {})[f"try {state.retries + 1}"] = dataclasses.asdict(collapse)

    def interrupted(self, state: TrainingState) -> None:
        """Write a checkpoint to resume from."""
        self.writer.save(state)

    def training_done(self, state: TrainingState) -> None:
        """Write metrics.csv if it could not be written, and log that early stopping ended the training, if it did."""
        self.write_rows(state)
        if len(state.rows) < self.epochs:
            without = state.progress.epochs_without_improvement
            log.info("stopped early: %s without a better validation figure", counted(without, "epoch"))


def forget_training(run: Run) -> None:
    """Remove what a collapsed training has left, so that another try can start."""
    with deferred():
        for name in (PREVIOUS, LAST, BEST):  # in an order that leaves no older checkpoint to resume from
            (run.checkpoints / name).unlink(missing_ok=True)
        for key in ("final", "best", "never_predicted"):
            run.record.pop(key, None)
        run.write_metrics([])
        run.write()


def _epoch_line(row: EpochRow, epochs: int, *, is_best: bool) -> str:
    balanced = row.val_balanced_accuracy
    beside = f" balanced {balanced:7.2%}" if differ(row.val_accuracy, balanced) else ""
    return (
        f"epoch {row.epoch:>3}/{epochs}  train loss {row.train_loss:.4f} accuracy {row.train_accuracy:7.2%}  "
        f"val loss {row.val_loss:.4f} accuracy {row.val_accuracy:7.2%}{beside}  "
        f"{row.images_per_second:.0f} images/s  {row.seconds:.1f} s{'  best so far' if is_best else ''}"
    )
