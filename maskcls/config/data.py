"""The keys of each data set, as in ``configs/data``."""

import os
from dataclasses import dataclass, field
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
    Resize,
    WholeNumber,
)

# the class of each folder of a name, None to leave the folder out; and the folder of each split
ClassMapping = dict[str, str | None]
SplitFolders = dict[str, str]
# the column of a table that holds the path, label, split or group
Columns = dict[str, str]


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
    sampling: Literal["auto", "files", "groups", "classes"]
    cache_dir: Path
    cache_gb: NonNegative | None
    workers: Count | None
    on_bad_image: OnBadImage
    resident: Choice
    # older checkpoints do not have these
    resize: Resize = field(default="squeeze", kw_only=True)
    class_map: ClassMapping | None = field(default=None, kw_only=True)
    splits: SplitFolders | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class FolderConfig(DataConfig):
    """The user's own images."""

    name: Literal["folder"]


@dataclass(frozen=True)
class TableConfig(DataConfig):
    """The user's own images, with a table of their labels."""

    name: Literal["table"]
    table: Path
    columns: Columns | None

    def __post_init__(self) -> None:
        if self.root == self.table:  # the default, see configs/data/table.yaml: the folder of the table
            object.__setattr__(self, "root", self.table.parent)


def public_root() -> Path:
    """Return where the public data set is if no folder is named, as configs/data/facemask12k.yaml says it."""
    return Path(os.path.expanduser(os.environ.get("MASKCLS_DATA", "data/facemask12k"))).absolute()


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


AnyDataConfig = FolderConfig | TableConfig | FaceMask12KConfig | SyntheticConfig
