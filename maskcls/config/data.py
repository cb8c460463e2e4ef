"""The keys of each data set, as in ``configs/data``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from maskcls.config.engine import Range
from maskcls.config.types import (
    BatchSize,
    Choice,
    Count,
    FractionBelowOne,
    FractionBetween,
    ImageSize,
    NonNegative,
    OnBadImage,
    WholeNumber,
)


@dataclass(frozen=True)
class DataConfig:
    """What every data set has."""

    root: Path
    positive_class: str | None
    batch_size: BatchSize
    eval_batch_size: Count
    input_size: ImageSize
    normalization: Literal["study", "dataset", "imagenet"]
    val_fraction: FractionBetween
    test_fraction: FractionBelowOne
    split_seed: WholeNumber
    split: Literal["as_shipped", "grouped"]
    groups: Path | None
    sampling: Literal["auto", "files", "groups"]
    cache_dir: Path
    cache_gb: NonNegative | None
    workers: Count | None
    on_bad_image: OnBadImage
    resident: Choice


@dataclass(frozen=True)
class FolderConfig(DataConfig):
    """The user's own images."""

    name: Literal["folder"]


@dataclass(frozen=True)
class FaceMask12KConfig(DataConfig):
    """The public data set of the study."""

    name: Literal["facemask12k"]
    download: bool


@dataclass(frozen=True)
class SyntheticConfig(DataConfig):
    """Drawn faces, to try the program with."""

    name: Literal["synthetic"]
    seed: WholeNumber
    train_images: Annotated[int, Range(4)]
    val_images: Annotated[int, Range(2)]
    test_images: Annotated[int, Range(2)]


AnyDataConfig = FolderConfig | FaceMask12KConfig | SyntheticConfig
