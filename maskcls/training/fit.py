"""The training loop."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from maskcls.data.loaders import Batch
from maskcls.errors import TrainingError
from maskcls.interrupts import deferred
from maskcls.models.precision import Precision

# an epoch's batches, from the one of a number on
Batches = Callable[[int], Generator[Batch, None, None]]

# what helps where numbers overflow
REMEDY = "a lower optim.lr or optim.clip_norm=1 usually helps"
# seconds between two looks at the running loss: each makes the device wait for the host
REFRESH_SECONDS = 0.5


class NotFiniteError(Exception):
    """A loss or a gradient was no finite number; the weights were not touched.

    Attributes:
        batch: the number of the batch in its epoch, from 0.
    """

    def __init__(self, batch: int) -> None:
        super().__init__(batch)
        self.batch = batch


@dataclass
class Progress:
    """How far the training is, and how good it was.

    Attributes:
        epoch: epochs done.
        step: optimizer steps done.
        best: the row of the best epoch so far: highest validation accuracy, of equals the lowest validation loss.
        stopping_reference: the validation accuracy that early stopping compares with.
        epochs_without_improvement: since the validation accuracy rose above that by more than ``min_delta``.
    """

    epoch: int = 0
    step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    stopping_reference: float = -math.inf
    epochs_without_improvement: int = 0

    def record(self, row: dict[str, float], min_delta: float) -> bool:
        """Count an epoch; return whether it is the best so far."""
        self.epoch += 1
        accuracy, loss = row["val_accuracy"], row["val_loss"]
        self.epochs_without_improvement += 1
        if accuracy - self.stopping_reference > min_delta:
            self.stopping_reference, self.epochs_without_improvement = accuracy, 0
        is_best = not self.best or (accuracy, -loss) > (self.best["val_accuracy"], -self.best["val_loss"])
        if is_best:
            self.best = dict(row)
        return is_best


@dataclass
class Trainer:
    """What one training changes as it goes, and what it needs for a step.

    Attributes:
        forward: the model, or its compiled form, which shares its weights.
        transform: from a batch's uint8 images on the device to the model's input: augmentation, normalization.
        loss_function: from logits and labels to the mean loss.
        clip_norm: bound of the gradient's norm, None for no bound.
        average: the running average of the weights, None where there is none.
        generator: what the transform draws from, None where it draws nothing.
        epoch_so_far: the figures of the epoch that is under way, None between epochs.
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
    progress: Progress = field(default_factory=Progress)
    epoch_so_far: "EpochSoFar | None" = None

    @property
    def evaluated_model(self) -> nn.Module:
        """The model to validate and to keep: the averaged one where there is one."""
        model: nn.Module = self.model if self.average is None else self.average.module
        return model

    @property
    def learning_rate(self) -> float:
        """That of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])


def step(trainer: Trainer, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Forward, backward, update; no update where the loss or the gradient is not finite.

    Returns:
        The mean loss, float32 [], the logits [batch, classes], and whether all was finite, bool []; on the device.
    """
    inputs = trainer.transform(images)  # in float32: bfloat16 would shift the augmentation's coordinates
    with trainer.precision.autocast():
        logits = trainer.forward(inputs)
        loss = trainer.loss_function(logits.float(), labels)
    trainer.optimizer.zero_grad(set_to_none=True)
    trainer.scaler.scale(loss).backward()
    trainer.scaler.unscale_(trainer.optimizer)
    norm = _clip(trainer.model, trainer.clip_norm)
    # float16's gradients overflow now and then, and its scaler lowers their scale: below 1, that is no explanation
    may_overflow = trainer.precision.name == "float16" and trainer.scaler.get_scale() >= 1
    is_finite = torch.isfinite(loss if may_overflow else loss + norm)
    if trainer.scaler.is_enabled() or is_finite:  # an enabled scaler looks by itself, on the device
        trainer.scaler.step(trainer.optimizer)
        trainer.schedule.step()
    trainer.scaler.update()
    if trainer.average is not None:
        trainer.average.update_parameters(trainer.model)
    trainer.progress.step += 1
    return loss.detach(), logits.detach(), is_finite


def _clip(model: nn.Module, limit: float | None) -> Tensor:
    """Scale the gradient down to the limit of its norm, where there is one; return the norm that it had."""
    if limit is not None:
        norm: Tensor = clip_grad_norm_(model.parameters(), limit)
        return norm
    return get_total_norm([p.grad for p in model.parameters() if p.grad is not None])


@dataclass
class EpochSoFar:
    """Figures of an epoch, summed on the device as it goes.

    Attributes:
        loss_sum: of all images seen, float64 [] (float32 where the device has no such).
        correct: images that were recognised, int64 [].
        seen: images.
        batches: steps.
        learning_rate: of the last step.
        seconds, waited: all of the time, and that spent waiting for batches.
        first_bad: the number of the first batch whose loss or gradient was not finite, -1 for none; int64 [].
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
    def on(cls, device: torch.device) -> "EpochSoFar":
        """An epoch of which nothing is done."""
        kind = torch.float64 if device.type != "mps" else torch.float32
        none = torch.zeros((), device=device, dtype=torch.int64)
        return cls(torch.zeros((), device=device, dtype=kind), none, none - 1)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor, is_finite: Tensor, learning_rate: float) -> None:
        """Count a step."""
        self.loss_sum += loss * len(labels)
        self.correct += (logits.argmax(dim=1) == labels).sum()
        self.first_bad = torch.where((self.first_bad < 0) & ~is_finite, self.batches, self.first_bad)
        self.seen += len(labels)
        self.batches += 1
        self.learning_rate = learning_rate

    def require_finite(self) -> None:
        """Wait for the device, and see whether all steps were.

        Raises:
            NotFiniteError: where one was not.
        """
        if (batch := int(self.first_bad)) >= 0:
            raise NotFiniteError(batch)

    def figures(self) -> dict[str, float]:
        """What `train_one_epoch` returns."""
        seconds = max(self.seconds, 1e-9)
        return {
            "learning_rate": self.learning_rate,
            "train_loss": self.loss_sum.item() / self.seen,
            "train_accuracy": self.correct.item() / self.seen,
            "images_per_second": self.seen / seconds,
            "seconds": self.seconds,
            "data_wait": self.waited / seconds,
        }


def train_one_epoch(
    trainer: Trainer, batches: Batches, images_in_epoch: int, title: str, after_step: Callable[[], None]
) -> dict[str, float]:
    """Train on each batch once; of an epoch that was broken off, on those that are left.

    Args:
        batches: the epoch's, from the one of this number on.
        after_step: called after each step, when everything is in a state that can be saved.

    Returns:
        train_loss and train_accuracy, means over the images as they were seen, the last learning_rate used, seconds,
        images_per_second, and data_wait, the share of the time that was spent waiting for batches.

    Raises:
        NotFiniteError: where a loss or a gradient is not finite.
        Interrupted: between steps, where the process was asked to stop.
    """
    trainer.model.train()
    device = next(trainer.model.parameters()).device
    so_far = trainer.epoch_so_far = trainer.epoch_so_far or EpochSoFar.on(device)
    refreshed = last = time.perf_counter()
    with (
        tqdm(total=images_in_epoch, initial=so_far.seen, desc=title, unit=" images", leave=False, disable=None) as bar,
        closing(batches(so_far.batches)) as remaining,
    ):
        for images, labels in remaining:
            with deferred():
                arrived = time.perf_counter()
                learning_rate = trainer.learning_rate
                loss, logits, is_finite = step(trainer, images, labels)
                so_far.add(loss, logits, labels, is_finite, learning_rate)
                so_far.waited += arrived - last
                so_far.seconds += (now := time.perf_counter()) - last
                last = now
            is_due = now - refreshed > REFRESH_SECONDS
            if is_due or device.type == "cpu":
                so_far.require_finite()
            if is_due and not bar.disable:
                figures = so_far.figures()
                bar.set_postfix(
                    loss=f"{figures['train_loss']:.4f}", accuracy=f"{figures['train_accuracy']:.2%}", refresh=False
                )
            if is_due:
                refreshed = now
            bar.update(len(labels))
            after_step()
    so_far.require_finite()
    return so_far.figures()


def fit(
    trainer: Trainer,
    epochs: int,
    train: Callable[[int], dict[str, float]],
    validate: Callable[[], tuple[float, float]],
    keep: Callable[[dict[str, float], bool], None],
    patience: int | None,
    min_delta: float,
) -> None:
    """Train epoch by epoch, validating after each, until the last or until early stopping.

    Args:
        train: trains the epoch of that number, from 0, and returns the figures of `train_one_epoch`.
        validate: returns the loss and the accuracy on the validation split.
        keep: called after each epoch with its row of ``metrics.csv``, and whether it is the best so far.
        patience: epochs without a higher validation accuracy after which to stop, None for never.
        min_delta: how much higher counts.

    Raises:
        TrainingError: where the validation loss is not finite; the epoch is not kept.
    """
    progress = trainer.progress
    while progress.epoch < epochs and (patience is None or progress.epochs_without_improvement < patience):
        trained = train(progress.epoch)
        validated_from = time.perf_counter()
        val_loss, val_accuracy = validate()
        if not math.isfinite(val_loss):
            raise TrainingError(
                f"epoch {progress.epoch + 1}: the validation loss is {val_loss} at a learning rate of "
                f"{trainer.learning_rate:g}; {REMEDY}"
            )
        row = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "learning_rate": trained["learning_rate"],
            "train_loss": trained["train_loss"],
            "train_accuracy": trained["train_accuracy"],
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "images_per_second": round(trained["images_per_second"], 2),
            "seconds": round(trained["seconds"] + time.perf_counter() - validated_from, 3),
            "data_wait": round(trained["data_wait"], 4),
        }
        with deferred():
            is_best = progress.record(row, min_delta)
            trainer.epoch_so_far = None
            keep(row, is_best)


def average_weights(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """An exponential moving average of weights and buffers, None where ``decay`` is None."""
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
