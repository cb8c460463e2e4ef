"""A training that learns nothing: recognised, and begun again more carefully."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskcls.config import ConstantConfig, CosineConfig, TrainConfig

# optimizer steps before which a network may well not have learned anything yet
MIN_STEPS = 100
# share of the loss of guessing above which nothing has been learned
NOTHING_LEARNED = 0.97
# of a collapsed training; each divides the learning rate
RETRIES, DIVISOR = 2, 10


class Collapse(NamedTuple):
    """What was seen of one.

    Attributes:
        epoch: after which it was recognised.
        label: the class that every validation image is taken for.
        train_loss: mean over the epoch.
        chance_loss: what always predicting the classes' shares would cost.
    """

    epoch: int
    label: int
    train_loss: float
    chance_loss: float


class CollapsedError(Exception):
    """The training has collapsed, and is to be begun again."""


def chance_loss(labels: Sequence[int], weights: Sequence[float] | None) -> float:
    """Cross-entropy of predicting, for every image, the share that each class has of those that are drawn.

    Args:
        labels: of the training images.
        weights: how often each is drawn, None for equally often.
    """
    counts = np.bincount(labels, weights)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def find_collapse(row: dict[str, float], logits: Tensor, chance: float) -> Collapse | None:
    """Whether a network has learned nothing: its loss is that of guessing, and it predicts one class alone.

    Args:
        row: of the epoch, in ``metrics.csv``.
        logits: of the validation images, float32 [images, classes].
        chance: as `chance_loss` returns it.
    """
    predicted = logits.argmax(dim=1).unique()
    # one answer to all images is what no network begins with: no number of steps has to be waited for
    is_dead = len(logits) > 1 and bool(torch.isclose(logits, logits[0], rtol=0, atol=1e-6).all())
    may_be_slow = row["step"] < MIN_STEPS and not is_dead
    if may_be_slow or len(predicted) > 1 or row["train_loss"] < NOTHING_LEARNED * chance:
        return None
    return Collapse(int(row["epoch"]), int(predicted[0]), row["train_loss"], chance)


def more_careful(config: TrainConfig, retries: int) -> TrainConfig:
    """The configuration of another try: a tenth of the learning rate for each, and a warm-up of an epoch."""
    if not retries:
        return config
    schedule = config.schedule
    if isinstance(schedule, ConstantConfig | CosineConfig):
        warmup = max(schedule.warmup_epochs, min(1.0, config.epochs / 2))
        schedule = dataclasses.replace(schedule, warmup_epochs=warmup)
    optim = dataclasses.replace(config.optim, lr=config.optim.lr / DIVISOR**retries)
    return dataclasses.replace(config, optim=optim, schedule=schedule)
