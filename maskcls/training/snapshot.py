"""Between the state of a training and a checkpoint."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from maskcls.errors import UserError, device_failure, is_out_of_memory
from maskcls.models.checkpoint import Checkpoint, Snapshot, require_fit
from maskcls.models.document import Document, TrainingDocument
from maskcls.training.randomness import capture_random, restore_random
from maskcls.training.state import EpochSums, TrainingState


def capture(state: TrainingState, about: Document) -> Checkpoint:
    """The checkpoint from which a training resumes as if it had never stopped.

    Args:
        state: the training, between two steps.
        about: what all checkpoints of the training have in common.
    """
    numbers, generators = capture_random(state.device, state.generator)
    training = TrainingDocument(
        rows=tuple(state.rows),
        retries=state.retries,
        scaler=state.scaler.state_dict(),
        average_updates=None if state.average is None else state.average.updates,
        random=numbers,
        partial_epoch=None if state.sums is None else state.sums.partial(),
        has_collapsed=state.has_collapsed,
    )
    document = dataclasses.replace(
        about,
        temperature=state.calibration.temperature,
        threshold=state.calibration.threshold,
        progress=state.progress,
        training=training,
    )
    average = {} if state.average is None else state.average.module.state_dict()
    optimizer = state.optimizer.state_dict()["state"]
    for name, value in ((name, value) for values in optimizer.values() for name, value in values.items()):
        if not isinstance(value, Tensor):
            raise TypeError(f"the optimizer's {name} is no tensor, so a checkpoint cannot keep it")
    return Checkpoint(state.model.state_dict(), document, Snapshot(optimizer, average, generators))


def restore(state: TrainingState, checkpoint: Checkpoint, path: Path) -> None:
    """Put a training where a checkpoint left it.

    Args:
        state: a new training of the same configuration.
        checkpoint: as `load_training` returns it.
        path: file of the checkpoint, for messages.

    Raises:
        UserError: if the checkpoint is of another training, or makes no sense.
    """
    document, snapshot, training = checkpoint.document, checkpoint.snapshot, checkpoint.document.training
    assert snapshot is not None  # `load_training` sees to it
    assert training is not None
    if bool(snapshot.average) != (state.average is not None):
        has = "has" if snapshot.average else "lacks"
        raise UserError(f"ckpt={path}: {has} an average of the weights, against the configuration's ema_decay")
    try:
        require_fit(checkpoint.weights, state.model.state_dict())
        state.model.load_state_dict(checkpoint.weights)
        if state.average is not None:
            if training.average_updates is None:
                raise ValueError("the average lacks its number of updates")
            state.average.module.load_state_dict(snapshot.average)
            state.average.updates = training.average_updates
        state.progress, state.rows = document.progress, list(training.rows)
        state.retries, state.has_collapsed = training.retries, training.has_collapsed
        state.calibration = checkpoint.document.calibration
        _restore_optimizer(state, snapshot.optimizer)
        _restore_schedule(state)
        _restore_scaler(state, training.scaler)
        state.sums = None if training.partial_epoch is None else EpochSums.on(state.device, training.partial_epoch)
        restore_random(training.random, snapshot.random, state.device, state.generator)
    except UserError as error:
        raise UserError(f"ckpt={path}: {error}") from None
    except Exception as error:  # a file that makes no sense may end in any error
        if is_out_of_memory(error) or device_failure(error):
            raise
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise UserError(f"ckpt={path}: no training can resume from it: {reason:.200}") from None


def _restore_optimizer(state: TrainingState, stored: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Restore moments and the like. The settings of the parameter groups stay the configuration's."""
    if not stored:  # before the first step
        return
    groups = state.optimizer.state_dict()["param_groups"]
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    restored = {
        position: {name: _like(value, parameters[position]) for name, value in values.items()}
        for position, values in stored.items()
    }
    if len(restored) != len(parameters):
        raise ValueError("the optimizer's state lacks parameters")
    state.optimizer.load_state_dict({"state": restored, "param_groups": groups})


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """A tensor of the optimizer's state, with the memory format of its parameter: fused kernels walk both as one."""
    if value.shape == parameter.shape and parameter.ndim:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    if value.ndim:
        raise ValueError("the optimizer's state is of other parameters")
    return value


def _restore_scaler(state: TrainingState, stored: Mapping[str, float]) -> None:
    if not state.scaler.is_enabled() or not stored:  # resumed in another precision
        return
    kinds = {name: type(value) for name, value in state.scaler.state_dict().items()}
    # the document has floats only, and torch wants whole numbers to be int
    state.scaler.load_state_dict({name: kinds[name](value) for name, value in stored.items()})


def _restore_schedule(state: TrainingState) -> None:
    """The schedule is a function of the step alone."""
    schedule, step = state.schedule, state.progress.step
    rates = [base * factor(step) for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)]
    for group, rate in zip(state.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    schedule.last_epoch, schedule._step_count, schedule._last_lr = step, step + 1, rates
