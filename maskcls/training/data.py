"""A data set ready to train on."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from maskcls.config import AnyDataConfig, DataConfig, SyntheticConfig, nearest
from maskcls.data.cache import OpenedImages, open_images
from maskcls.data.groups import Groups, Membership, sampling_weights
from maskcls.data.image_files import ImageFiles
from maskcls.data.index import Index, require_classes
from maskcls.data.loaders import LabelledImages
from maskcls.data.readable import open_readable, report_damaged
from maskcls.data.sources import open_dataset, own_images
from maskcls.data.statistics import IMAGENET, STUDY, Normalization, measure
from maskcls.data.streaming import Images, JoinedImages
from maskcls.errors import UserError
from maskcls.models.memory import free_memory
from maskcls.wording import named

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """A data set ready to train on.

    Attributes:
        index: files, labels and classes.
        splits: decoded images and labels, by split.
        fingerprint: hash of the index, files that are skipped included.
        normalization: normalization of the network's input.
        groups: which files show one photograph, None if that is not known.
        is_synthetic: whether the program drew the images, so that no figure says anything about masks.
        skipped: why a file is skipped, by path.
        damaged: what is wrong with a file that is used in part, by path.
    """

    index: Index
    splits: Mapping[str, LabelledImages]
    fingerprint: str
    normalization: Normalization
    groups: Groups | None
    is_synthetic: bool
    skipped: Mapping[str, str]
    damaged: Mapping[str, str]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; a label is a position in it."""
        return self.index.classes


def cached_bytes(*images: Images) -> int | None:
    """Bytes of decoded images, None if some are decoded at each read."""
    total = 0
    for part in images:
        size = cached_bytes(*part.parts) if isinstance(part, JoinedImages) else getattr(part, "nbytes", None)
        if size is None:
            return None
        total += size
    return total


def load_data(config: AnyDataConfig) -> TrainingData:
    """Find, decode and measure a data set.

    Raises:
        UserError: if it is missing, cannot be read, or lacks a class.
    """
    index, groups = open_dataset(config)
    if config.positive_class is not None and config.positive_class not in index.classes:
        hint = nearest(config.positive_class, index.classes)
        own = f"; {own_images(config.root)} if these are your own images" if config.name == "facemask12k" else ""
        raise UserError(
            f"data.positive_class={config.positive_class}: the classes are "
            f"{', '.join(map(named, index.classes))}{hint}; "
            f"null if none is positive{own}"
        )
    fingerprint = index.fingerprint()

    def opener(index: Index) -> OpenedImages:
        require_classes(index)
        files = {
            name: ImageFiles(index.root, split.paths, config.input_size, resize=config.resize)
            for name, split in index.splits.items()
        }
        return open_images(files, config)

    opened, index, skipped = open_readable(index, opener, config.on_bad_image)
    report_damaged(opened.damaged)
    if "test" in index.splits and not len(index.splits["test"]):
        log.warning("%s: no file of the test split can be read; the split is left out", index.root)
        index = index.without_split("test")
    splits = {name: LabelledImages(opened.images[name], split.labels) for name, split in index.splits.items()}
    return TrainingData(
        index=index,
        splits=splits,
        fingerprint=fingerprint,
        normalization=_normalization(config, splits["train"]),
        groups=groups,
        is_synthetic=isinstance(config, SyntheticConfig),
        skipped=skipped,
        damaged=opened.damaged,
    )


def _normalization(config: DataConfig, train: LabelledImages) -> Normalization:
    match config.normalization:
        case "study":
            return STUDY
        case "imagenet":
            return IMAGENET
        case "dataset":
            return measure(train.images)


def draws_alike(config: DataConfig) -> bool:
    """Whether training draws images at random, all classes equally often, rather than each image once an epoch."""
    return config.sampling in ("groups", "classes") or (config.sampling == "auto" and config.split == "grouped")


def weights_of(config: DataConfig, data: TrainingData) -> list[float] | None:
    """The sampling weight of each training image; None if each is drawn once an epoch.

    Raises:
        UserError: if ``data.sampling`` needs groups, and they are not known.
    """
    if not draws_alike(config):
        return None
    files = data.index.splits["train"]
    if config.sampling == "classes":
        return sampling_weights(files, {path: Membership(path) for path in files.paths})
    if data.groups is None:
        raise UserError(
            "data.sampling=groups needs data.groups=FILE, a table of the files that show one photograph: "
            f"maskcls-audit data.root={data.index.root} writes one"
        )
    return sampling_weights(files, data.groups)


def keep_resident(config: DataConfig, size: int | None, device: torch.device) -> bool:
    """Whether training and validation images are copied to the device once, rather than batch by batch.

    Args:
        size: their bytes, as `cached_bytes` returns them.

    Raises:
        UserError: if ``data.resident=true`` contradicts ``data.cache_gb``.
    """
    if config.resident != "auto":
        if config.resident and size is None:
            raise UserError("data.resident=true: the images are more than the cache may hold, see data.cache_gb")
        return config.resident
    return device.type == "cuda" and size is not None and size <= free_memory(device) / 2
