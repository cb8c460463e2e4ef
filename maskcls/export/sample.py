"""Images to try an exported network on: of the training's validation split, and noise."""

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from maskcls.data.decode import UnreadableImageError
from maskcls.data.image_files import ImageFiles
from maskcls.data.sources import index_of_training
from maskcls.models.document import Document

log = logging.getLogger(__name__)


class Sample(NamedTuple):
    """Some images with their classes.

    Attributes:
        images: RGB, uint8 [images, size, size, 3].
        labels: int64 [images].
    """

    images: np.ndarray
    labels: np.ndarray


def validation_images(document: Document, count: int) -> Sample:
    """Read images of the validation split of a training, at equal distances in its list.

    Args:
        document: that of the training's checkpoint.
        count: images to read, at most.

    Returns:
        No images if the files of the training are gone, or have changed. Files that cannot be read are left out, and
        reported.

    Raises:
        UserError: if another version of maskcls wrote the checkpoint.
    """
    index = index_of_training(document.trained_with(), document.data_fingerprint)
    size = document.input_size
    if index is None:
        return Sample(np.empty((0, size, size, 3), dtype=np.uint8), np.empty(0, dtype=np.int64))
    split = index.splits["val"]
    files = ImageFiles(index.root, split.paths, size, resize=document.resize)
    images, labels = [], []
    positions = np.unique(np.linspace(0, len(split) - 1, min(count, len(split))).round().astype(int)).tolist()
    for position in positions:
        try:
            images.append(files.read(position).image)
            labels.append(split.labels[position])
        except UnreadableImageError as error:
            log.warning("left out: %s", error)
    return Sample(np.array(images, dtype=np.uint8).reshape(-1, size, size, 3), np.array(labels, dtype=np.int64))


def noise_images(size: int, count: int) -> np.ndarray:
    """Images of noise, always the same: uint8 [count, size, size, 3]."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def batches_of(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Cut images, [images, ...], into batches of at most ``size``."""
    for start in range(0, len(images), size):
        yield images[start : start + size]
