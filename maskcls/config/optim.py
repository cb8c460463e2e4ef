"""The keys of each optimizer, as in ``configs/optim``."""

from dataclasses import dataclass
from typing import Literal

from maskcls.config.types import FractionBelowOne, NonNegative, Positive


@dataclass(frozen=True)
class SGDConfig:
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    lr: Positive
    momentum: FractionBelowOne
    nesterov: bool
    weight_decay: NonNegative
    decay_norm_and_bias: bool
    clip_norm: Positive | None


@dataclass(frozen=True)
class AdamConfig:
    """Adam, and AdamW, whose weight decay does not pass through the averages."""

    name: Literal["adam", "adamw"]
    lr: Positive
    beta1: FractionBelowOne
    beta2: FractionBelowOne
    eps: Positive
    weight_decay: NonNegative
    decay_norm_and_bias: bool
    clip_norm: Positive | None


OptimConfig = SGDConfig | AdamConfig
