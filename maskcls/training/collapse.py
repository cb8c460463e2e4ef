"""Trainings that collapse: the network gives every image one class at the loss of guessing, or its loss blows up."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from maskcls.config import ConstantConfig, CosineConfig, TrainConfig
from maskcls.errors import TrainingError
from maskcls.models.document import EpochRow
from maskcls.wording import named

log = logging.getLogger(__name__)

# optimizer steps before which a sound network may not have learned anything yet
MIN_STEPS = 100
# the same if all images get the same logits; until the statistics of batch normalization have settled, a sound network
# may give them, too
MIN_DEAD_STEPS = 20
# share of the loss of guessing above which nothing has been learned
NOTHING_LEARNED = 0.97
# multiple of the loss of guessing from which the mean training loss of an epoch has blown up
BLOWN_UP = 1000
# what a huge loss means
WHY_IT_BLOWS_UP = (
    "so large a loss means that the first steps threw the weights far off: Adam moves every weight by the learning "
    "rate, and these moves multiply from layer to layer; units that end up below zero for every image get no gradient "
    "any more"
)
# new tries, and what each divides the learning rate by
MAX_RETRIES, DIVISOR = 2, 10


@dataclass(frozen=True)
class Collapse:
    """What was seen of a collapse.

    Attributes:
        epoch: the epoch that showed it, from 1.
        label: the class that is predicted for every validation image, None if there are several.
        train_loss: mean training loss of that epoch.
        chance_loss: loss of always predicting the classes' shares.
    """

    epoch: int
    label: int | None
    train_loss: float
    chance_loss: float

    @property
    def is_blown_up(self) -> bool:
        """Whether the training loss is far beyond that of guessing."""
        return self.train_loss >= BLOWN_UP * self.chance_loss


class CollapsedError(Exception):
    """The training has collapsed and is to be started again."""


@dataclass(frozen=True)
class CollapsePolicy:
    """How collapses are recognised, and what is done about them.

    Attributes:
        action: warn, fail, or retry from the initial weights.
        chance_loss: as `chance_loss` returns it.
        classes: names of the classes.
        learning_rate: the configured learning rate of this try.
    """

    action: Literal["warn", "fail", "retry"]
    chance_loss: float
    classes: tuple[str, ...]
    learning_rate: float

    def react(self, collapse: Collapse, retries: int, *, is_first: bool) -> None:
        """Say what was seen and what helps, and do what the policy says.

        Args:
            collapse: what was seen.
            retries: how often the training was started again before.
            is_first: whether this training has shown no collapse before; a warning is given once.

        Raises:
            TrainingError: if the training is to fail, or all retries are used up.
            CollapsedError: if the training is to be started again.
        """
        predicted = "validation is no better than guessing"
        if collapse.label is not None:
            predicted = f"every validation image is predicted as {named(self.classes[collapse.label])}"
        seen = (
            f"epoch {collapse.epoch}: the training has collapsed: {predicted}, and the training loss, "
            f"{collapse.train_loss:.4g}, is no better than the loss of guessing, {collapse.chance_loss:.4f}, at a "
            f"learning rate of {self.learning_rate:g}"
        )
        if collapse.is_blown_up:
            seen = f"{seen}; {WHY_IT_BLOWS_UP}"
        lower = self.learning_rate / DIVISOR
        helps = f"a lower optim.lr, such as {lower:g}, schedule.warmup_epochs=1 or another seed helps"
        if self.action == "warn":
            if is_first:
                log.warning("%s; %s, and health.on_collapse=retry does the first two", seen, helps)
            return
        if self.action == "fail" or retries >= MAX_RETRIES:
            raise TrainingError(f"{seen}; {helps}")
        log.warning("%s; starting again at a learning rate of %g, with a warm-up", seen, lower)
        raise CollapsedError


def chance_loss(labels: Sequence[int], weights: Sequence[float] | None) -> float:
    """Cross-entropy of predicting for every image each class's share of the training images.

    Args:
        labels: labels of the training images.
        weights: sampling weights of the images, None if all are equal.
    """
    counts = np.bincount(labels, weights)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def find_collapse(row: EpochRow, logits: np.ndarray, chance: float) -> Collapse | None:
    """Tell whether a network has learned nothing.

    Either its loss is that of guessing, and it predicts a single class; or its loss has blown up, and validation is no
    better than guessing. Then the weights are lost, whatever they predict just now.

    Args:
        row: the epoch's row of ``metrics.csv``.
        logits: logits of the validation images, float32 [images, classes].
        chance: as `chance_loss` returns it.
    """
    predicted = np.unique(logits.argmax(axis=1))
    label = int(predicted[0]) if len(predicted) == 1 else None
    collapse = Collapse(row.epoch, label, row.train_loss, chance)
    if collapse.is_blown_up and row.val_loss >= NOTHING_LEARNED * chance:
        return collapse
    is_dead = len(logits) > 1 and bool(np.isclose(logits, logits[0], rtol=0, atol=1e-6).all())
    may_be_slow = row.step < (MIN_DEAD_STEPS if is_dead else MIN_STEPS)
    if may_be_slow or len(predicted) > 1 or row.train_loss < NOTHING_LEARNED * chance:
        return None
    return collapse


def more_careful(config: TrainConfig, retries: int, before_rate: int = 0) -> TrainConfig:
    """The configuration of another try: a tenth of the learning rate for each retry, and a warm-up of one epoch.

    Args:
        config: the configuration.
        retries: how often the training was started again.
        before_rate: how many of these retries were before ``optim.lr`` was typed to resume it: they do not divide it.
    """
    if not retries:
        return config
    schedule = config.schedule
    if isinstance(schedule, ConstantConfig | CosineConfig):
        warmup = max(schedule.warmup_epochs, min(1.0, config.epochs / 2))
        schedule = dataclasses.replace(schedule, warmup_epochs=warmup)
    optim = dataclasses.replace(config.optim, lr=config.optim.lr / DIVISOR ** max(0, retries - before_rate))
    return dataclasses.replace(config, optim=optim, schedule=schedule)
