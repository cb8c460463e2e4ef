"""The training loop."""

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm

from maskcls.config import TrainConfig
from maskcls.config.types import Select
from maskcls.errors import TrainingError
from maskcls.interrupts import Interrupted, deferred, leave
from maskcls.models.document import EpochRow
from maskcls.progress import progress
from maskcls.training.batches import TrainingBatches
from maskcls.training.collapse import CollapsePolicy, find_collapse
from maskcls.training.recorder import EpochResult, Recorder
from maskcls.training.state import EpochSums, TrainingState, after_epoch
from maskcls.training.validation import Validation, Validator

# what helps if numbers overflow
REMEDY = "a lower optim.lr or optim.clip_norm=1 usually helps"
# seconds between two looks at the running loss: each makes the host wait for the device
REFRESH_SECONDS = 0.5


@dataclass(frozen=True)
class Plan:
    """How long a training goes on, and what ends it early.

    Attributes:
        epochs: number of epochs.
        select: what the best epoch and early stopping go by, see `after_epoch`.
        patience: epochs without a higher figure after which it stops, None for never.
        min_delta: how much higher counts as higher.
        collapse: how collapses are recognised, and what is done about them.
    """

    epochs: int
    select: Select
    patience: int | None
    min_delta: float
    collapse: CollapsePolicy

    @classmethod
    def of(cls, config: TrainConfig, collapse: CollapsePolicy) -> "Plan":
        """The plan that a configuration makes."""
        stopping = config.early_stopping
        return cls(config.epochs, config.select, stopping.patience, stopping.min_delta, collapse)


class NotFiniteError(TrainingError):
    """A loss or a gradient was not a finite number. The weights were not touched.

    Attributes:
        epoch: number of the epoch, from 1.
        batch: number of the batch in its epoch, from 1.
        learning_rate: learning rate of the step.
        files: paths of the images in the batch.
    """

    def __init__(self, state: TrainingState, batches: TrainingBatches, batch: int) -> None:
        self.epoch, self.batch = state.progress.epoch + 1, batch + 1
        steps = state.progress.epoch * len(batches) + batch
        self.learning_rate = state.learning_rate_after(steps)  # the schedule has gone on
        self.files = batches.files(state.progress.epoch, batch)
        shown = ", ".join(self.files[:3]) + (", ..." if len(self.files) > 3 else "")
        super().__init__(
            f"epoch {self.epoch}, step {steps + 1}: the loss or its gradient is not finite, at a learning rate of "
            f"{self.learning_rate:g}, on the batch of {shown} (run.json lists all files); {REMEDY}"
        )


class Step(NamedTuple):
    """What a step gave, on the device.

    Attributes:
        loss: mean loss, float32 [].
        logits: float [batch, classes].
        is_finite: whether loss and gradient were finite, bool [].
    """

    loss: Tensor
    logits: Tensor
    is_finite: Tensor


def fit(
    state: TrainingState,
    batches: TrainingBatches,
    validator: Validator,
    plan: Plan,
    recorders: Sequence[Recorder],
) -> None:
    """Train epoch by epoch, validating after each, until the last epoch or until early stopping.

    Raises:
        TrainingError: if a loss or a gradient is not finite, or the training has collapsed and is to fail.
        CollapsedError: if the training has collapsed and is to be started again.
        Interrupted: if the process was asked to stop; the recorders have been told.
    """
    try:
        while not _is_finished(state, plan):
            for recorder in recorders:
                recorder.epoch_begins(state)
            train_one_epoch(state, batches, recorders, f"epoch {state.progress.epoch + 1}/{plan.epochs}")
            started = time.perf_counter()
            validation = validator.validate(state)
            with deferred():
                validate_seconds = time.perf_counter() - started
                row = _row(state, validation, validate_seconds)
                _react_to_collapse(state, row, validation, plan.collapse, recorders)
                train_seconds = _close_epoch(state, row, plan)
                state.calibration = validator.calibrate(validation)
                is_best = state.progress.best is row
                result = EpochResult(row, is_best, validation, train_seconds, validate_seconds)
                for recorder in recorders:
                    recorder.epoch_done(state, result)
    except Interrupted:
        leave()
        for recorder in recorders:
            recorder.interrupted(state)
        raise
    for recorder in recorders:
        recorder.training_done(state)


def train_one_epoch(
    state: TrainingState, batches: TrainingBatches, recorders: Sequence[Recorder] = (), title: str = ""
) -> None:
    """Train on each batch once; in an epoch that was interrupted, on the remaining ones. Fills ``state.sums``.

    Raises:
        NotFiniteError: if a loss or a gradient is not finite.
        Interrupted: between steps, if the process was asked to stop.
    """
    epoch = state.progress.epoch
    if state.sums is None:
        batches.begin(epoch)  # before the epoch counts as begun: an interruption may come in between
        state.sums = EpochSums.on(state.device)
    sums = state.sums
    state.model.train()
    refreshed, note = (last := time.perf_counter()), ""
    size = batches.loader.batch_size
    with (
        closing(batches.remaining(epoch, sums.batches)) as remaining,
        closing(
            progress(remaining, total=batches.images, phase=title, size=size, initial=sums.seen, note=lambda: note)
        ) as shown,
    ):
        for images, labels in shown:
            with deferred():
                arrived = time.perf_counter()
                learning_rate = state.learning_rate
                done = step(state, images, labels)
                sums.add(done.loss, done.logits, labels, done.is_finite, learning_rate)
                sums.waited += arrived - last
                sums.seconds += (now := time.perf_counter()) - last
                last = now
            is_due = now - refreshed > REFRESH_SECONDS
            if is_due or state.device.type == "cpu":
                _require_finite(state, batches, sums)
            if is_due:
                refreshed, note = now, f"loss {sums.loss:.4f}, accuracy {sums.accuracy:.2%}"
            for recorder in recorders:
                recorder.step_done(state)
    _require_finite(state, batches, sums)


def step(state: TrainingState, images: Tensor, labels: Tensor) -> Step:
    """Forward, backward, update. There is no update if the loss or the gradient is not finite, nor in later steps.

    Nothing here makes the host wait for a GPU.

    Args:
        state: what is trained.
        images: uint8 [batch, 3, height, width], on the device.
        labels: int64 [batch], on the device.
    """
    inputs = state.transform(images)  # in float32: bfloat16 would shift the augmentation's coordinates
    with state.precision.autocast():
        logits = state.forward(inputs)
        loss = state.loss_function(logits.float(), labels)
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()
    state.scaler.unscale_(state.optimizer)
    norm = _clip(state.model, state.clip_norm)
    is_finite = _is_finite(state, loss, norm)
    state.is_sound = state.is_sound & is_finite
    _update(state)
    if state.average is not None:
        state.average.update(state.model)
    state.progress = replace(state.progress, step=state.progress.step + 1)
    return Step(loss.detach(), logits.detach(), is_finite)


def _clip(model: nn.Module, limit: float | None) -> Tensor:
    """Scale the gradient down to a largest norm, if there is one. Return the norm that it had."""
    if limit is not None:
        norm: Tensor = clip_grad_norm_(model.parameters(), limit)
        return norm
    return get_total_norm([p.grad for p in model.parameters() if p.grad is not None])


def _is_finite(state: TrainingState, loss: Tensor, norm: Tensor) -> Tensor:
    """Whether loss and gradient are finite, bool []."""
    if not state.scaler.is_enabled():
        return torch.isfinite(loss) & torch.isfinite(norm)
    scale = state.scaler._get_scale_async()  # get_scale() would wait for the device
    assert scale is not None  # since the loss was scaled
    # gradients of float16 may overflow, and then the scaler lowers its scale; below 1 the scale is not the cause
    return torch.isfinite(loss) & (torch.isfinite(norm) | (scale >= 1))


def _update(state: TrainingState) -> None:
    """Let the optimizer step, unless a step was not finite. Fused kernels and the scaler look at that on the device."""
    optimizer = state.optimizer
    if state.scaler.is_enabled():
        state.scaler.step(optimizer)
        state.scaler.update()
    elif optimizer.defaults["fused"]:
        optimizer.found_inf = (~state.is_sound).float()  # type: ignore[attr-defined]  # read by Optimizer.step
        optimizer.step()
    elif state.is_sound:
        optimizer.step()
    state.schedule.step()


def _require_finite(state: TrainingState, batches: TrainingBatches, sums: EpochSums) -> None:
    """Wait for the device, and raise NotFiniteError if a step was not finite."""
    if (batch := int(sums.first_bad)) >= 0:
        raise NotFiniteError(state, batches, batch)


def _is_finished(state: TrainingState, plan: Plan) -> bool:
    progress = state.progress
    is_early = plan.patience is not None and progress.epochs_without_improvement >= plan.patience
    return progress.epoch >= plan.epochs or is_early


def _row(state: TrainingState, validation: Validation, validate_seconds: float) -> EpochRow:
    """The row of ``metrics.csv`` of an epoch that was trained and validated."""
    sums, epoch = state.sums, state.progress.epoch + 1
    assert sums is not None
    if not math.isfinite(validation.loss):
        raise TrainingError(
            f"epoch {epoch}: the validation loss is {validation.loss} at a learning rate of "
            f"{state.learning_rate:g}; {REMEDY}"
        )
    seconds = max(sums.seconds, 1e-9)
    return EpochRow(
        epoch=epoch,
        step=state.progress.step,
        learning_rate=sums.learning_rate,
        train_loss=sums.loss,
        train_accuracy=sums.accuracy,
        val_loss=validation.loss,
        val_accuracy=validation.accuracy,
        images_per_second=round(sums.seen / seconds, 2),
        seconds=round(sums.seconds + validate_seconds, 3),
        data_wait=round(sums.waited / seconds, 4),
        val_balanced_accuracy=validation.balanced_accuracy,
        val_never_predicted=len(validation.never_predicted),
    )


def _react_to_collapse(
    state: TrainingState, row: EpochRow, validation: Validation, policy: CollapsePolicy, recorders: Sequence[Recorder]
) -> None:
    """Look for a collapse. If the policy raises, the epoch is not counted."""
    collapse = find_collapse(row, validation.logits, policy.chance_loss)
    if collapse is None:
        return
    for recorder in recorders:
        recorder.collapsed(state, collapse)
    policy.react(collapse, state.retries, is_first=not state.has_collapsed)
    state.has_collapsed = True


def _close_epoch(state: TrainingState, row: EpochRow, plan: Plan) -> float:
    """Count an epoch in the state, and return the seconds that its training took."""
    assert state.sums is not None
    seconds = state.sums.seconds
    state.progress, state.sums = after_epoch(state.progress, row, plan.min_delta, plan.select), None
    state.rows.append(row)
    return seconds
