"""What a training reports while it runs."""

from dataclasses import dataclass

from maskcls.models.document import EpochRow
from maskcls.training.collapse import Collapse
from maskcls.training.state import TrainingState
from maskcls.training.validation import Validation


@dataclass(frozen=True)
class EpochResult:
    """What a finished epoch gave.

    Attributes:
        row: its row of ``metrics.csv``.
        is_best: whether it is the best epoch so far.
        validation: what validation gave.
        train_seconds: time that training took.
        validate_seconds: time that validation took.
    """

    row: EpochRow
    is_best: bool
    validation: Validation
    train_seconds: float
    validate_seconds: float


class Recorder:
    """Follows a training. Override what you want to know; every method does nothing by default.

    The run directory is one recorder. A tracker, a tuner or the silent process of a second rank can be others.
    Whatever a method raises ends the training.
    """

    def epoch_begins(self, state: TrainingState) -> None:
        """An epoch begins, or goes on after an interruption; ``state.progress.epoch`` epochs are finished."""

    def step_done(self, state: TrainingState) -> None:
        """A step is done, and everything is in a state that can be saved."""

    def epoch_done(self, state: TrainingState, result: EpochResult) -> None:
        """An epoch is trained and validated, and counted in ``state``."""

    def collapsed(self, state: TrainingState, collapse: Collapse) -> None:
        """An epoch has shown that the network learns nothing."""

    def interrupted(self, state: TrainingState) -> None:
        """The process was asked to stop. The training can resume from ``state``."""

    def training_done(self, state: TrainingState) -> None:
        """The last epoch is done, or early stopping has ended the training."""
