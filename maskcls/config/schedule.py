"""The keys of each schedule of the learning rate, as in ``configs/schedule``."""

from dataclasses import dataclass
from typing import Literal

from maskcls.config.types import Fraction, FractionAboveZero, FractionBetween, NonNegative


@dataclass(frozen=True)
class ConstantConfig:
    """One learning rate, after an optional warm-up."""

    name: Literal["constant"]
    warmup_epochs: NonNegative


@dataclass(frozen=True)
class OneCycleConfig:
    """A rise to the learning rate and a fall to almost nothing."""

    name: Literal["onecycle"]
    warmup_fraction: FractionBetween
    start_factor: FractionAboveZero
    final_factor: FractionAboveZero


@dataclass(frozen=True)
class CosineConfig:
    """A fall along half a cosine, after an optional warm-up."""

    name: Literal["cosine"]
    warmup_epochs: NonNegative
    final_factor: Fraction


ScheduleConfig = ConstantConfig | OneCycleConfig | CosineConfig
