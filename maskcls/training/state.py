"""The state of a training: everything that a step changes, and what a step needs."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from maskcls.config.types import Select
from maskcls.models.calibration import UNCALIBRATED, Calibration
from maskcls.models.document import EpochRow, PartialEpoch, Progress
from maskcls.models.precision import Precision

# an epoch before its first step
BEGINNING = PartialEpoch(batches=0, seen=0, loss_sum=0.0, correct=0, learning_rate=0.0, seconds=0.0, waited=0.0)


@dataclass
class Average:
    """An exponential moving average of a model's weights and buffers. It begins with those at its first update.

    torch's AveragedModel would wait for the device at each update.

    Attributes:
        module: holds the averages.
        decay: what an update leaves of them, 0..1.
        updates: number of updates so far.
    """

    module: nn.Module
    decay: float
    updates: int = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights and buffers that a model has now. Counters are copied."""
        pairs = [*zip(_tensors(self.module), _tensors(model), strict=True)]
        averages, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
        torch._foreach_lerp_(averages, values, 1 - self.decay if self.updates else 1.0)
        for own, counter in pairs:
            if not own.is_floating_point():
                own.copy_(counter)
        self.updates += 1


def _tensors(model: nn.Module) -> chain[Tensor]:
    return chain(model.parameters(), model.buffers())


@dataclass
class TrainingState:
    """One training as it goes.

    Attributes:
        model: the network that is trained.
        forward: the model, or its compiled form, which shares the model's weights.
        optimizer: the optimizer of the model's parameters.
        schedule: the learning rate by step.
        transform: from a batch's uint8 images on the device to the model's input: augmentation and normalization.
        loss_function: from logits and labels to the mean loss.
        precision: number format of the forward pass.
        scaler: scales the loss for float16.
        is_sound: whether loss and gradient of every step were finite, bool [], on the device. If not, batch
            statistics may hold anything, and there is nothing to save.
        clip_norm: largest norm of the gradient, None for no limit.
        average: running average of the weights, None without one.
        generator: random generator of the augmentation.
        retries: how often the training has collapsed and was started again.
        has_collapsed: whether an epoch of this try has shown a collapse.
        progress: finished epochs and steps.
        rows: rows of ``metrics.csv``, one for each finished epoch.
        calibration: fitted on the last validation.
        sums: running sums of the epoch that is under way, None between epochs.
    """

    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    optimizer: Optimizer
    schedule: LambdaLR
    transform: Callable[[Tensor], Tensor]
    loss_function: Callable[[Tensor, Tensor], Tensor]
    precision: Precision
    scaler: torch.amp.GradScaler
    is_sound: Tensor
    clip_norm: float | None = None
    average: Average | None = None
    generator: torch.Generator | None = None
    retries: int = 0
    has_collapsed: bool = False
    progress: Progress = field(default_factory=Progress)
    rows: list[EpochRow] = field(default_factory=list)
    calibration: Calibration = UNCALIBRATED
    sums: "EpochSums | None" = None

    @property
    def evaluated_model(self) -> nn.Module:
        """The model that validation measures and that is kept: the average, if there is one."""
        return self.model if self.average is None else self.average.module

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def learning_rate_after(self, steps: int) -> float:
        """The learning rate of the step that follows so many steps: the schedule is a function of their number."""
        return float(self.schedule.base_lrs[0] * self.schedule.lr_lambdas[0](steps))


@dataclass
class EpochSums:
    """Running sums over the steps of an epoch: `PartialEpoch` describes each.

    Those of tensors, without dimensions, stay on the device, so that no step waits for it.
    """

    loss_sum: Tensor
    correct: Tensor
    first_bad: Tensor
    seen: int
    batches: int
    learning_rate: float
    seconds: float
    waited: float

    @classmethod
    def on(cls, device: torch.device, partial: PartialEpoch = BEGINNING) -> "EpochSums":
        """Sums on a device: of an epoch that begins, or of one that was interrupted."""
        kind = torch.float64 if device.type != "mps" else torch.float32
        tensors = {
            "loss_sum": torch.tensor(partial.loss_sum, device=device, dtype=kind),
            "correct": torch.tensor(partial.correct, device=device),
            "first_bad": torch.tensor(partial.first_bad, device=device),
        }
        return cls(**vars(partial) | tensors)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor, is_finite: Tensor, learning_rate: float) -> None:
        """Count a step."""
        self.loss_sum += loss * len(labels)
        self.correct += (logits.argmax(dim=1) == labels).sum()
        self.first_bad = torch.where((self.first_bad < 0) & ~is_finite, self.batches, self.first_bad)
        self.seen += len(labels)
        self.batches += 1
        self.learning_rate = learning_rate

    def partial(self) -> PartialEpoch:
        """The sums as plain numbers; waits for the device."""
        numbers = {name: value.item() for name, value in vars(self).items() if isinstance(value, Tensor)}
        if not math.isfinite(numbers["loss_sum"]):
            numbers["loss_sum"] = 0.0  # after a bad batch, no epoch ends to report it
        return PartialEpoch(**vars(self) | numbers)

    @property
    def loss(self) -> float:
        """Mean loss over the images so far; waits for the device."""
        return float(self.loss_sum.item() / self.seen)

    @property
    def accuracy(self) -> float:
        """Share of the images so far that were predicted right; waits for the device."""
        return float(self.correct.item() / self.seen)


def after_epoch(progress: Progress, row: EpochRow, min_delta: float, select: Select = "accuracy") -> Progress:
    """The progress after one more epoch.

    Args:
        progress: the progress before.
        row: the epoch's row of ``metrics.csv``.
        min_delta: how much higher counts as higher for early stopping.
        select: validation figure that the best epoch and early stopping go by; "last" makes each epoch the best.
    """

    def figure(row: EpochRow) -> float:
        return (row.val_balanced_accuracy or 0.0) if select == "balanced_accuracy" else row.val_accuracy

    reference, without = progress.stopping_reference, progress.epochs_without_improvement + 1
    if reference is None or figure(row) - reference > min_delta:
        reference, without = figure(row), 0
    best = progress.best
    if best is None or select == "last" or (figure(row), -row.val_loss) > (figure(best), -best.val_loss):
        best = row
    return Progress(progress.epoch + 1, progress.step, best, reference, without)


def average_weights(model: nn.Module, decay: float | None) -> Average | None:
    """A moving average that no update has seen yet, None if ``decay`` is None."""
    return None if decay is None else Average(copy.deepcopy(model), decay)
