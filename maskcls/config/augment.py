"""The keys of each augmentation, as in ``configs/augment``."""

from dataclasses import dataclass
from typing import Annotated, Literal

from maskcls.config.engine import Range
from maskcls.config.types import Fraction, FractionBelowOne


@dataclass(frozen=True)
class NoAugmentConfig:
    """Images as they are."""

    name: Literal["none"]


@dataclass(frozen=True)
class FlipAugmentConfig:
    """Some images are mirrored."""

    name: Literal["flip"]
    flip_probability: Fraction


@dataclass(frozen=True)
class LightAugmentConfig:
    """Images are mirrored, moved, turned, scaled and recoloured a little."""

    name: Literal["light"]
    flip_probability: Fraction
    shift: Annotated[float, Range(0, 0.5)]
    rotation_degrees: Annotated[float, Range(0, 180)]
    zoom: FractionBelowOne
    brightness: FractionBelowOne
    contrast: FractionBelowOne
    saturation: FractionBelowOne


AugmentConfig = NoAugmentConfig | FlipAugmentConfig | LightAugmentConfig
