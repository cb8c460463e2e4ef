"""The keys of each augmentation, as in ``configs/augment``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from maskcls.config.engine import Range
from maskcls.config.types import Fraction, FractionBelowOne, FractionBetween, ImageSize


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


@dataclass(frozen=True)
class RobustAugmentConfig:
    """Images look as if they came from anywhere; a share of the faces wear drawn masks."""

    name: Literal["robust"]
    flip_probability: Fraction
    rotation_degrees: Annotated[float, Range(0, 180)]
    stretch: FractionBelowOne
    zoom: FractionBelowOne
    shift: Annotated[float, Range(0, 0.5)]
    distance: Fraction
    smallest: FractionBetween
    patches: Fraction
    brightness: FractionBelowOne
    contrast: FractionBelowOne
    saturation: FractionBelowOne
    gamma: FractionBelowOne
    white_balance: FractionBelowOne
    grey: Fraction
    blur: Fraction
    low_resolution: Fraction
    smallest_side: ImageSize
    noise: Fraction
    compression: Fraction
    masks: FractionBelowOne
    obstacles: FractionBelowOne
    detector: Path | None
    exchanged: FractionBelowOne = 0.0  # older runs do not have it


AugmentConfig = NoAugmentConfig | FlipAugmentConfig | LightAugmentConfig | RobustAugmentConfig
