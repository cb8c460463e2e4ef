"""The training loop."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from maskcls.data.loaders import Batch
from maskcls.errors import TrainingError
from maskcls.models.precision import Precision

# seconds between two looks at the running loss: each makes the device wait for the host
REFRESH_SECONDS = 0.5


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
    """

    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    optimizer: Optimizer
    schedule: LRScheduler
    transform: Callable[[Tensor], Tensor]
    loss_function: Callable[[Tensor, Tensor], Tensor]
    precision: Precision
    scaler: torch.amp.GradScaler
    clip_norm: float | None = None
    average: AveragedModel | None = None
    progress: Progress = field(default_factory=Progress)

    @property
    def evaluated_model(self) -> nn.Module:
        """The model to validate and to keep: the averaged one where there is one."""
        model: nn.Module = self.model if self.average is None else self.average.module
        return model

    def state(self) -> dict[str, Any]:
        """Everything that resuming needs, beside the weights."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": None if self.average is None else _average_state(self.average),
            "rng": {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
        }


def step(trainer: Trainer, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Forward, backward, update.

    Returns:
        The mean loss, float32 [], and the logits [batch, classes], both on the device.
    """
    inputs = trainer.transform(images)  # in float32: bfloat16 would shift the augmentation's coordinates
    with trainer.precision.autocast():
        logits = trainer.forward(inputs)
        loss = trainer.loss_function(logits.float(), labels)
    trainer.optimizer.zero_grad(set_to_none=True)
    trainer.scaler.scale(loss).backward()
    if trainer.clip_norm is not None:
        trainer.scaler.unscale_(trainer.optimizer)
        clip_grad_norm_(trainer.model.parameters(), trainer.clip_norm)
    trainer.scaler.step(trainer.optimizer)
    trainer.scaler.update()
    trainer.schedule.step()
    if trainer.average is not None:
        trainer.average.update_parameters(trainer.model)
    trainer.progress.step += 1
    return loss.detach(), logits.detach()


def train_one_epoch(trainer: Trainer, batches: Iterable[Batch], images_in_epoch: int, title: str) -> dict[str, float]:
    """Train on each batch once.

    Returns:
        train_loss and train_accuracy, means over the images as they were seen, images_per_second, the last
        learning_rate used, and data_wait, the share of the time that was spent waiting for batches.

    Raises:
        TrainingError: where the loss is not finite.
    """
    trainer.model.train()
    device = next(trainer.model.parameters()).device
    loss_sum = torch.zeros((), device=device, dtype=torch.float64 if device.type != "mps" else torch.float32)
    correct = torch.zeros((), device=device, dtype=torch.int64)
    seen = 0
    stopwatch = Stopwatch()
    start = refreshed = time.perf_counter()
    with tqdm(total=images_in_epoch, desc=title, unit=" images", leave=False, disable=None) as bar:
        for images, labels in stopwatch.waiting_for(batches):
            learning_rate = trainer.optimizer.param_groups[0]["lr"]
            loss, logits = step(trainer, images, labels)
            loss_sum += loss * len(labels)
            correct += (logits.argmax(dim=1) == labels).sum()
            seen += len(labels)
            if not bar.disable and time.perf_counter() - refreshed > REFRESH_SECONDS:
                refreshed = time.perf_counter()
                _require_finite(loss_sum.item(), "training", trainer)
                bar.set_postfix(
                    loss=f"{loss_sum.item() / seen:.4f}", accuracy=f"{correct.item() / seen:.2%}", refresh=False
                )
            bar.update(len(labels))
    train_loss = loss_sum.item() / seen
    _require_finite(train_loss, "training", trainer)
    seconds = time.perf_counter() - start
    return {
        "learning_rate": learning_rate,
        "train_loss": train_loss,
        "train_accuracy": correct.item() / seen,
        "images_per_second": seen / seconds,
        "data_wait": stopwatch.seconds / seconds,
    }


class Stopwatch:
    """Adds up the ``seconds`` that a loop waits for its next item."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def waiting_for(self, items: Iterable[Batch]) -> Iterator[Batch]:
        start = time.perf_counter()
        for item in items:
            self.seconds += time.perf_counter() - start
            yield item
            start = time.perf_counter()
        self.seconds += time.perf_counter() - start


def fit(
    trainer: Trainer,
    epochs: int,
    train: Callable[[int], dict[str, float]],
    validate: Callable[[], tuple[float, float]],
    patience: int | None,
    min_delta: float,
) -> Iterator[tuple[dict[str, float], bool]]:
    """Train epoch by epoch, validating after each, until the last or until early stopping.

    Args:
        train: trains the epoch of that number, from 0, and returns the figures of `train_one_epoch`.
        validate: returns the loss and the accuracy on the validation split.
        patience: epochs without a higher validation accuracy after which to stop, None for never.
        min_delta: how much higher counts.

    Yields:
        The row of ``metrics.csv`` of each epoch, and whether it is the best so far.

    Raises:
        TrainingError: where a loss is not finite; the epoch's row is not yielded.
    """
    progress = trainer.progress
    while progress.epoch < epochs and (patience is None or progress.epochs_without_improvement < patience):
        start = time.perf_counter()
        trained = train(progress.epoch)
        val_loss, val_accuracy = validate()
        _require_finite(val_loss, "validation", trainer)
        row = {
            "epoch": progress.epoch + 1,
            "step": progress.step,
            "learning_rate": trained["learning_rate"],
            "train_loss": trained["train_loss"],
            "train_accuracy": trained["train_accuracy"],
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "images_per_second": round(trained["images_per_second"], 2),
            "seconds": round(time.perf_counter() - start, 3),
            "data_wait": round(trained["data_wait"], 4),
        }
        yield row, progress.record(row, min_delta)


def _require_finite(loss: float, name: str, trainer: Trainer) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"epoch {trainer.progress.epoch + 1}: the {name} loss is {loss} at a learning rate of "
            f"{trainer.optimizer.param_groups[0]['lr']:g}; a lower optim.lr or optim.clip_norm=1 usually helps"
        )


def average_weights(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """An exponential moving average of weights and buffers, None where ``decay`` is None."""
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _average_state(average: AveragedModel) -> dict[str, Any]:
    return {"weights": average.module.state_dict(), "n_averaged": average.n_averaged}
