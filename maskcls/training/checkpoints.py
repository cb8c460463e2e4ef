"""What a training leaves on disk as it goes, and how it goes on from there.

``last.pt`` holds everything, so that a training that goes on from it ends bit for bit as if it had never stopped;
``previous.pt`` is the one before; ``best.pt`` holds what inference needs of the best epoch.
"""

import dataclasses
import logging
import math
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskcls.errors import UserError
from maskcls.evaluation.calibration import UNCALIBRATED, Calibration
from maskcls.interrupts import deferred
from maskcls.models.checkpoint import TRAINING_CONTENTS, load_checkpoint, load_training, require_fit, save_checkpoint
from maskcls.training.fit import EpochSoFar, Progress, Trainer
from maskcls.training.health import RETRIES

log = logging.getLogger(__name__)

Row = dict[str, float]
# of a row, what a training looks at when it goes on
ROW_KEYS = {"epoch", "val_loss", "val_accuracy"}


@dataclass
class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        directory: theirs.
        about: what all of them hold beside weights and state.
        every: as ``checkpoint.every``; None for the ends of epochs alone.
        calibration: of the last validated epoch.
        rows: of ``metrics.csv``, so far.
    """

    directory: Path
    about: Mapping[str, Any]
    every: str | None
    calibration: Calibration = UNCALIBRATED
    rows: list[Row] = field(default_factory=list)
    _saved_at: float = field(default_factory=time.monotonic)
    _saved_step: int = 0

    def save(self, trainer: Trainer, is_best: bool = False) -> None:
        """Write ``last.pt``, and then ``best.pt`` where the epoch that has just ended is the best so far.

        Should the process die in between, `latest` makes the one of the other.
        """
        content = self._content(trainer)
        with deferred():
            save_checkpoint(self.directory / "last.pt", content, previous=self.directory / "previous.pt")
            if is_best:
                save_checkpoint(self.directory / "best.pt", for_inference(content))
        self._saved_at, self._saved_step = time.monotonic(), trainer.progress.step

    def save_if_due(self, trainer: Trainer) -> None:
        """Write ``last.pt`` within an epoch, where as much time or as many steps have gone by as ``every`` says."""
        if self.every is None:
            return
        number = float(re.sub("[a-z]+", "", self.every))
        done = (
            trainer.progress.step - self._saved_step
            if self.every.endswith("steps")
            else (time.monotonic() - self._saved_at) / 60
        )
        if done >= number:
            self.save(trainer)

    def _content(self, trainer: Trainer) -> dict[str, Any]:
        average, so_far = trainer.average, trainer.epoch_so_far
        return {
            **self.about,
            "temperature": self.calibration.temperature,
            "threshold": self.calibration.threshold,
            "progress": dataclasses.asdict(trainer.progress),
            "model": trainer.model.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "schedule": trainer.schedule.state_dict(),
            "scaler": trainer.scaler.state_dict(),
            "ema": average and {"weights": average.module.state_dict(), "n_averaged": average.n_averaged},
            "rng": random_state(trainer),
            "rows": self.rows,
            "epoch_so_far": so_far and {f.name: getattr(so_far, f.name) for f in dataclasses.fields(so_far)},
        }


def for_inference(content: Mapping[str, Any]) -> dict[str, Any]:
    """What ``best.pt`` holds: the weights that were validated, the averaged ones where there are any."""
    kept = {key: value for key, value in content.items() if key not in TRAINING_CONTENTS}
    return kept if content["ema"] is None else {**kept, "model": content["ema"]["weights"]}


def latest(directory: Path) -> tuple[dict[str, Any], Path] | None:
    """The last checkpoint that is whole, and its path; None where none has been written.

    ``best.pt`` is made of it where it is missing, or older than it should be.

    Raises:
        UserError: where there are checkpoints, but none is whole.
    """
    found: tuple[dict[str, Any], Path] | None = None
    fault: UserError | None = None
    for path in (directory / "last.pt", directory / "previous.pt"):
        if not path.exists():
            continue
        try:
            content = load_training(path)
            _require_state(content, path)
            found = content, path
            break
        except UserError as error:
            log.warning("%s", error)
            fault = fault or error
    if found is None:
        if fault is not None:
            raise fault
        return None
    if found[1].name != "last.pt":
        log.warning("going on from %s, the checkpoint before", found[1])
    return found


def _require_state(content: Mapping[str, Any], path: Path) -> None:
    """Check what a training's checkpoint says of how far it is.

    Raises:
        UserError: where it makes no sense.
    """
    try:
        progress = _progress(content["progress"])
        rows = content["rows"]
        for row in rows:
            _require_row(row)
        if len(rows) != progress.epoch or any(row.keys() != rows[0].keys() for row in rows):
            raise ValueError("its rows are not one an epoch")
        if progress.best and (not rows or progress.best.keys() != rows[0].keys()):
            raise ValueError("its best epoch is none of its rows")
        if not 0 <= content["retries"] <= RETRIES:
            raise ValueError(f"it was begun again more than {RETRIES} times")
        _epoch_so_far(content["epoch_so_far"], torch.device("cpu"))
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise _senseless(path, error) from None


def _senseless(path: Path, error: Exception) -> UserError:
    reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return UserError(f"ckpt={path}: no training can go on from it: {reason:.200}")


def repair_best(directory: Path, content: Mapping[str, Any]) -> bool:
    """Make ``best.pt`` what it is to be at a checkpoint; return whether it is.

    It is not where the process died between the two writes and cannot be made where the best epoch was an earlier one.
    """
    progress, path = content["progress"], directory / "best.pt"
    try:
        if load_checkpoint(path)["progress"].get("best") == progress["best"]:
            return True
    except UserError:
        pass  # missing or damaged
    if content["epoch_so_far"] is not None or progress["best"].get("epoch") != progress["epoch"]:
        return not progress["best"]
    save_checkpoint(path, for_inference(content))
    return True


def restore(trainer: Trainer, content: Mapping[str, Any], path: Path) -> None:
    """Put a training where a checkpoint left it.

    Args:
        content: as `maskcls.models.checkpoint.load_training` returns it.

    Raises:
        UserError: where it is of another training, or makes no sense.
    """
    require_fit(content["model"], trainer.model, path)
    trainer.model.load_state_dict(content["model"])
    if (content["ema"] is None) != (trainer.average is None):
        raise UserError(f"ckpt={path}: has an average of the weights where the training has none, or the other way")
    try:
        if trainer.average is not None:
            require_fit(content["ema"]["weights"], trainer.average.module, path)
            trainer.average.module.load_state_dict(content["ema"]["weights"])
            trainer.average.n_averaged.copy_(content["ema"]["n_averaged"])
        trainer.progress = _progress(content["progress"])
        _restore_optimizer(trainer, content["optimizer"]["state"])
        _restore_schedule(trainer)
        trainer.scaler.load_state_dict(content["scaler"])
        device = next(trainer.model.parameters()).device
        trainer.epoch_so_far = _epoch_so_far(content["epoch_so_far"], device)
        restore_random_state(trainer, content["rng"])
    except UserError:
        raise
    except Exception as error:  # whatever a file that makes no sense may end in
        raise _senseless(path, error) from None


def _progress(values: Mapping[str, Any]) -> Progress:
    if values.keys() != {field.name for field in dataclasses.fields(Progress)}:
        raise ValueError("its progress lacks something")
    progress = Progress(**values)
    counts = (progress.epoch, progress.step, progress.epochs_without_improvement)
    if any(not isinstance(count, int) or count < 0 for count in counts):
        raise ValueError("its progress makes no sense")
    if not isinstance(progress.stopping_reference, float) or math.isnan(progress.stopping_reference):
        raise ValueError("its progress makes no sense")
    _require_row(progress.best)
    return progress


def _require_row(row: Any) -> None:
    if not isinstance(row, dict) or not all(
        isinstance(key, str) and isinstance(value, float | int) and math.isfinite(value) for key, value in row.items()
    ):
        raise ValueError("a row makes no sense")
    if row and not row.keys() >= ROW_KEYS:
        raise ValueError("a row lacks a figure")


def _restore_optimizer(trainer: Trainer, state: Mapping[int, Mapping[str, Any]]) -> None:
    """Only the state: the groups' settings are the configuration's."""
    parameters = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    for position, values in state.items():
        for value in values.values():
            if isinstance(value, Tensor) and value.shape not in (parameters[position].shape, torch.Size([])):
                raise ValueError("the optimizer's state is of other weights")
    groups = trainer.optimizer.state_dict()["param_groups"]
    trainer.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _restore_schedule(trainer: Trainer) -> None:
    """It is a function of the step alone."""
    schedule, step = trainer.schedule, trainer.progress.step
    rates = [base * factor(step) for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)]
    for group, rate in zip(trainer.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    schedule.last_epoch, schedule._step_count, schedule._last_lr = step, step + 1, rates


def _epoch_so_far(values: Mapping[str, Any] | None, device: torch.device) -> EpochSoFar | None:
    if values is None:
        return None
    so_far = EpochSoFar(**values)
    if not isinstance(so_far.seen, int) or not isinstance(so_far.batches, int) or so_far.seen < so_far.batches:
        raise ValueError("its epoch so far makes no sense")
    for name in ("seen", "batches", "waited", "seconds"):
        if not isinstance(number := getattr(so_far, name), float | int) or not 0 <= number < math.inf:
            raise ValueError(f"'{name}' makes no sense")
    fresh = EpochSoFar.on(device)
    for name in ("loss_sum", "correct", "first_bad"):
        value, kind = getattr(so_far, name), getattr(fresh, name).dtype
        setattr(so_far, name, value.reshape(()).to(device=device, dtype=kind))
    return so_far


def random_state(trainer: Trainer) -> dict[str, Any]:
    """Of every generator that a training, or what a user adds to one, may draw from."""
    version, numbers, gauss = random.getstate()
    legacy = np.random.get_state(legacy=False)
    keys = torch.from_numpy(legacy["state"]["key"].astype(np.int64))
    return {
        "python": [version, list(numbers), gauss],
        "numpy": {**legacy, "state": {"key": keys, "pos": legacy["state"]["pos"]}},
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
        "augment": None if trainer.generator is None else trainer.generator.get_state(),
    }


def restore_random_state(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Set every generator; those of a device that is not there any more are left as they are."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    keys = state["numpy"]["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**state["numpy"], "state": {"key": keys, "pos": state["numpy"]["state"]["pos"]}})
    torch.set_rng_state(state["cpu"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    if trainer.generator is not None and state["augment"] is not None:
        fresh = trainer.generator.get_state()
        if fresh.shape == state["augment"].shape:  # a generator's on another device has another
            trainer.generator.set_state(state["augment"])
        else:
            log.warning("resumed on another device: augmentation draws anew within this epoch")
