"""The images that are trained on: those of the train split, and with ``augment=robust`` faces that are drawn on."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from maskcls.config import DataConfig, RobustAugmentConfig, TrainConfig
from maskcls.data.cache import open_images
from maskcls.data.dressed import DETECTOR_KEY, Dress, DressedFaces, cached_landmarks
from maskcls.data.faces import find_detector
from maskcls.data.loaders import LabelledImages, Sampling
from maskcls.data.streaming import JoinedImages
from maskcls.errors import UserError
from maskcls.training.data import TrainingData, weights_of
from maskcls.wording import counted, named

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Examples:
    """What is trained on.

    Attributes:
        split: images and labels.
        paths: file of each image.
        sampling: how the images of an epoch are drawn; None if each is taken once.
        drawn: number of the images that are drawn on, by what is drawn.
    """

    split: LabelledImages
    paths: Sequence[str]
    sampling: Sampling | None
    drawn: Mapping[str, int] = field(default_factory=dict)

    @property
    def weights(self) -> Sequence[float] | None:
        """How likely each image is to be drawn; None if all are taken once."""
        return None if self.sampling is None else self.sampling.weights


def training_examples(config: TrainConfig, data: TrainingData) -> Examples:
    """Choose the images to train on, and draw on faces if the augmentation asks for it.

    Raises:
        UserError: faces are to be drawn on, and the classes or the detector do not allow it.
    """
    files, weights = data.index.splits["train"], weights_of(config.data, data)
    sampling = None if weights is None else Sampling(weights, len(files))
    augment = config.augment
    if not isinstance(augment, RobustAugmentConfig) or not (augment.masks or augment.obstacles):
        return Examples(data.splits["train"], files.paths, sampling)
    masked = _masked_label(config, data)
    shares: dict[Dress, float] = {"mask": augment.masks, "obstacle": augment.obstacles}
    drawn = {
        dress: faces for dress, faces in _dressed(config.data, augment.detector, data, masked).items() if shares[dress]
    }
    opened = open_images({str(dress): faces for dress, faces in drawn.items()}, config.data).images
    labels, paths = list(files.labels), list(files.paths)
    # an epoch has as many images of each class as without drawings
    each = np.full(len(files), 1 / len(files)) if weights is None else np.array(weights)
    chances = [each.copy()]
    for dress, faces in drawn.items():
        label = masked if dress == "mask" else 1 - masked
        own = np.array(files.labels) == label
        chances.append(np.full(len(faces), shares[dress] * each[own].sum() / len(faces)))
        chances[0][own] *= 1 - shares[dress]
        labels += [label] * len(faces)
        paths += faces.paths
    images = JoinedImages([data.splits["train"].images, *(opened[dress] for dress in drawn)])
    joined = Sampling(np.concatenate(chances).tolist(), len(files))
    return Examples(
        LabelledImages(images, labels), paths, joined, {dress: len(faces) for dress, faces in drawn.items()}
    )


def _masked_label(config: TrainConfig, data: TrainingData) -> int:
    """The label of the faces with a mask."""
    if config.data.positive_class is None or len(data.classes) != 2:
        raise UserError(
            "augment=robust draws masks onto the faces of one class to make images of the other: it needs two classes, "
            "and data.positive_class=NAME for the one with masks; augment.masks=0 augment.obstacles=0 draws nothing"
        )
    return data.classes.index(config.data.positive_class)


def _dressed(config: DataConfig, detector: Path | None, data: TrainingData, masked: int) -> dict[Dress, DressedFaces]:
    """The bare faces of the train split that a detector finds, with a mask and with an obstacle."""
    bare = [path for path, label in data.index.splits["train"].pairs() if label != masked]
    landmarks = cached_landmarks(
        data.index.root, bare, find_detector(detector, cache_dir=config.cache_dir, key=DETECTOR_KEY), config
    )
    is_found = ~np.isnan(landmarks).any(axis=(1, 2))
    log.info(
        "faces found in %d of %s of %s; masks and obstacles are drawn onto these",
        is_found.sum(),
        counted(len(bare), "training image"),
        named(data.classes[1 - masked]),
    )
    if not is_found.any():
        raise UserError("augment=robust: no face found to draw a mask onto; augment.masks=0 augment.obstacles=0")
    paths = [path for path, found in zip(bare, is_found, strict=True) if found]
    root, size, resize = data.index.root, config.input_size, config.resize
    return {
        dress: DressedFaces(root, paths, size, resize=resize, dress=dress, landmarks=landmarks[is_found])
        for dress in ("mask", "obstacle")
    }
