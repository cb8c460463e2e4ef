"""The state of a training: everything that a step changes, and what a step needs."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from maskcls.models.calibration import UNCALIBRATED, Calibration
from maskcls.models.document import EpochRow, PartialEpoch, Progress
from maskcls.models.precision import Precision


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
    clip_norm: float | None = None
    average: AveragedModel | None = None
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
        model: nn.Module = self.model if self.average is None else self.average.module
        return model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])


@dataclass
class EpochSums:
    """Running sums over the steps of an epoch. Those of tensors stay on the device, so that no step waits for it.

    Attributes:
        loss_sum: sum of the images' losses, float64 [] (float32 on devices without float64).
        correct: images that were predicted right, int64 [].
        first_bad: number of the first batch whose loss or gradient was not finite, -1 for none; int64 [].
        seen: images.
        batches: steps.
        learning_rate: learning rate of the last step.
        seconds: time since the epoch began.
        waited: seconds of that spent waiting for batches.
    """

    loss_sum: Tensor
    correct: Tensor
    first_bad: Tensor
    seen: int = 0
    batches: int = 0
    learning_rate: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0

    @classmethod
    def on(cls, device: torch.device, partial: PartialEpoch | None = None) -> "EpochSums":
        """Sums on a device: of an epoch that begins, or of one that was interrupted."""
        kind = torch.float64 if device.type != "mps" else torch.float32
        values = (0.0, 0, -1) if partial is None else (partial.loss_sum, partial.correct, partial.first_bad)
        loss_sum, correct, first_bad = values
        sums = cls(
            torch.tensor(loss_sum, device=device, dtype=kind),
            torch.tensor(correct, device=device),
            torch.tensor(first_bad, device=device),
        )
        if partial is not None:
            sums.seen, sums.batches, sums.learning_rate = partial.seen, partial.batches, partial.learning_rate
            sums.seconds, sums.waited = partial.seconds, partial.waited
        return sums

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
        loss_sum = self.loss_sum.item()
        return PartialEpoch(
            batches=self.batches,
            seen=self.seen,
            loss_sum=loss_sum if math.isfinite(loss_sum) else 0.0,  # after a bad batch, no epoch ends to report it
            correct=int(self.correct),
            learning_rate=self.learning_rate,
            seconds=self.seconds,
            waited=self.waited,
            first_bad=int(self.first_bad),
        )

    @property
    def loss(self) -> float:
        """Mean loss over the images so far; waits for the device."""
        return float(self.loss_sum.item() / self.seen)

    @property
    def accuracy(self) -> float:
        """Share of the images so far that were predicted right; waits for the device."""
        return float(self.correct.item() / self.seen)


def average_weights(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """An exponential moving average of weights and buffers, None if ``decay`` is None."""
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
