"""The checkpoints that a training leaves as it goes, and which of them it resumes from.

``last.safetensors`` holds everything: a training that resumes from it ends bit for bit as if it had never stopped.
``previous.safetensors`` is the one before. ``best.safetensors`` holds what inference needs of the best epoch.
"""

import logging
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from maskcls.errors import MachineError, UserError, is_out_of_memory
from maskcls.interrupts import deferred
from maskcls.models.checkpoint import Checkpoint, load_checkpoint, load_training, save_checkpoint
from maskcls.models.document import Document
from maskcls.run import BEST, LAST, PREVIOUS
from maskcls.training.snapshot import capture
from maskcls.training.state import TrainingState

log = logging.getLogger(__name__)


@dataclass
class CheckpointWriter:
    """Writes the checkpoints of one training.

    Attributes:
        directory: folder that holds them.
        about: what all of them have in common.
        every: time or steps between two checkpoints within an epoch, as ``checkpoint.every``; None for none.
    """

    directory: Path
    about: Document
    every: str | None
    _saved_at: float = field(default_factory=time.monotonic)
    _saved_step: int = 0

    def save(self, state: TrainingState, *, is_best: bool = False) -> None:
        """Write last, and then best if the epoch that has just ended is the best so far.

        If the process dies in between, `repair_best` rebuilds best from last. After a step that was not finite, nothing
        is written: the loop finds it at its next look, on a GPU up to half a second later.
        """
        if not state.is_sound:
            return
        try:
            checkpoint = capture(state, self.about)
            with deferred():
                save_checkpoint(self.directory / LAST, checkpoint, previous=self.directory / PREVIOUS)
                if is_best:
                    save_checkpoint(self.directory / BEST, checkpoint.for_inference())
        except Exception as error:
            if is_out_of_memory(error):  # which no batch size would help
                raise MachineError(f"{self.directory}: out of memory while writing a checkpoint") from None
            raise
        self._saved_at, self._saved_step = time.monotonic(), state.progress.step

    def save_if_due(self, state: TrainingState) -> None:
        """Write last within an epoch, if as much time or as many steps have passed as ``every`` says."""
        if self.every is None:
            return
        number = float(re.sub("[a-z]+", "", self.every))
        passed = (
            state.progress.step - self._saved_step
            if self.every.endswith("steps")
            else (time.monotonic() - self._saved_at) / 60
        )
        if passed >= number:
            self.save(state)


def latest(directory: Path) -> tuple[Checkpoint, Path] | None:
    """The newest checkpoint that is not damaged, and its path; None if there is no checkpoint.

    Raises:
        UserError: if there are checkpoints, but all are damaged.
    """
    fault: UserError | None = None
    for path in (directory / LAST, directory / PREVIOUS):
        if not path.exists():
            continue
        try:
            checkpoint = load_training(path)
        except UserError as error:
            log.warning("%s", error)
            fault = fault or error
            continue
        if path.name != LAST:
            log.warning("resuming from %s, the checkpoint before", path)
        return checkpoint, path
    if fault is not None:
        raise fault
    if any(directory.glob("*.pt")):
        raise UserError(
            f"{directory}: an older version of maskcls wrote these checkpoints, and this one cannot resume them"
        )
    return None


def repair_best(directory: Path, checkpoint: Checkpoint) -> bool:
    """Rebuild best from last if the process died between the two writes.

    Args:
        directory: folder of the checkpoints.
        checkpoint: last, as `load_training` returns it.

    Returns:
        Whether best is what last says it is. It is not if it was lost and the best epoch is not the last one.
    """
    progress, path = checkpoint.document.progress, directory / BEST
    try:
        if load_checkpoint(path).document.progress.best == progress.best:
            return True
    except UserError:
        pass  # missing or damaged
    is_between_epochs = checkpoint.document.training is not None and checkpoint.document.training.partial_epoch is None
    if not is_between_epochs or progress.best is None or progress.best.epoch != progress.epoch:
        return progress.best is None
    save_checkpoint(path, checkpoint.for_inference())
    return True
