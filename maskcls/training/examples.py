"""The images that are trained on: the train split, and with ``augment=robust`` those that are made of its faces."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskcls.config import DataConfig, RobustAugmentConfig, TrainConfig
from maskcls.data.cache import open_images
from maskcls.data.dressed import DETECTOR_KEY, Dress, DressedFaces, cached_landmarks
from maskcls.data.exchanged import ExchangedFaces
from maskcls.data.faces import find_detector
from maskcls.data.image_files import ImageFiles
from maskcls.data.loaders import LabelledImages, Sampling
from maskcls.data.made import FoundFaces
from maskcls.data.streaming import JoinedImages
from maskcls.data.worn import pose_of
from maskcls.errors import UserError
from maskcls.training.data import TrainingData, weights_of
from maskcls.wording import counted, named

log = logging.getLogger(__name__)

# what a face gets, as it is said after "with"
DRAWN: dict[Dress, str] = {"mask": "a drawn mask", "obstacle": "an obstacle"}
WORN, MOUTH = "a worn mask", "another mouth"
# what switches off all images that are made of faces
NOTHING_MADE = "augment.masks=0 augment.obstacles=0 augment.exchanged=0"


@dataclass(frozen=True)
class Examples:
    """What is trained on.

    Attributes:
        split: images and labels.
        paths: file of each image.
        sampling: how the images of an epoch are drawn; None if each is taken once.
        made: number of the images that are made of faces, by what the faces get.
    """

    split: LabelledImages
    paths: Sequence[str]
    sampling: Sampling | None
    made: Mapping[str, int] = field(default_factory=dict)

    @property
    def weights(self) -> Sequence[float] | None:
        """How likely each image is to be drawn; None if all are taken once."""
        return None if self.sampling is None else self.sampling.weights


class Made(NamedTuple):
    """Images that are made of faces.

    Attributes:
        what: what a face gets, as it is said after "with".
        label: their label.
        share: the share of the images of this label that they are in an epoch.
        faces: the images.
        chances: how likely each of them is to be drawn; they sum to 1.
    """

    what: str
    label: int
    share: float
    faces: ImageFiles
    chances: np.ndarray


def training_examples(config: TrainConfig, data: TrainingData) -> Examples:
    """Choose the images to train on, and make further ones of faces if the augmentation asks for it.

    Raises:
        UserError: images are to be made of faces, and the classes, the files or the detector do not allow it.
    """
    files, weights = data.index.splits["train"], weights_of(config.data, data)
    sampling = None if weights is None else Sampling(weights, len(files))
    augment = config.augment
    if not isinstance(augment, RobustAugmentConfig) or not (augment.masks or augment.obstacles or augment.exchanged):
        return Examples(data.splits["train"], files.paths, sampling)
    # an epoch has as many images of each class as without further ones
    each = np.full(len(files), 1 / len(files)) if weights is None else np.array(weights)
    made = _made(config.data, augment, data, _masked_label(config, data), each)
    opened = open_images({one.what: one.faces for one in made}, config.data).images
    labels, paths, chances = list(files.labels), list(files.paths), [each.copy()]
    for one in made:
        own = np.array(files.labels) == one.label
        chances.append(one.share * each[own].sum() * one.chances)
        chances[0][own] -= one.share * each[own]
        labels += [one.label] * len(one.faces)
        paths += one.faces.paths
    images = JoinedImages([data.splits["train"].images, *(opened[one.what] for one in made)])
    joined = Sampling(np.concatenate(chances).tolist(), len(files))
    return Examples(LabelledImages(images, labels), paths, joined, {one.what: len(one.faces) for one in made})


def _masked_label(config: TrainConfig, data: TrainingData) -> int:
    """The label of the faces with a mask."""
    if config.data.positive_class is None or len(data.classes) != 2:
        raise UserError(
            "augment=robust makes images of one class from faces of the other: it needs two classes, "
            f"and data.positive_class=NAME for the one with masks; {NOTHING_MADE} makes none"
        )
    return data.classes.index(config.data.positive_class)


def _made(
    config: DataConfig, augment: RobustAugmentConfig, data: TrainingData, masked: int, weights: np.ndarray
) -> list[Made]:
    """The images that are made of the bare faces of the train split; ``weights`` are those of its files."""
    detector = find_detector(augment.detector, cache_dir=config.cache_dir, key=DETECTOR_KEY)
    bare = _faces_of(config, detector, data, 1 - masked, weights)
    root, size, resize = data.index.root, config.input_size, config.resize
    made = []
    dresses: dict[Dress, tuple[int, float]] = {
        "mask": (masked, augment.masks),
        "obstacle": (1 - masked, augment.obstacles),
    }
    for dress, (label, share) in dresses.items():
        if share:
            dressed = DressedFaces(root, bare.paths, size, resize=resize, dress=dress, landmarks=bare.landmarks)
            made.append(Made(DRAWN[dress], label, share, dressed, bare.chances))
    if augment.exchanged:
        worn = _faces_of(config, detector, data, masked, weights)
        for what, label, others in ((WORN, masked, worn), (MOUTH, 1 - masked, bare)):
            exchanged = ExchangedFaces(root, bare.paths, size, resize=resize, landmarks=bare.landmarks, others=others)
            made.append(Made(what, label, augment.exchanged, exchanged, bare.chances))
    return made


def _faces_of(config: DataConfig, detector: Path, data: TrainingData, label: int, weights: np.ndarray) -> FoundFaces:
    """The undamaged images of a class of the train split in which a detector finds a face."""
    split = data.index.splits["train"]
    own = [one for one, (path, of) in enumerate(split.pairs()) if of == label and path not in data.damaged]
    paths = [split.paths[one] for one in own]
    landmarks = cached_landmarks(data.index.root, paths, detector, config)
    # landmarks in one place give no pose
    is_found = np.array([not np.isnan(one).any() and pose_of(one).scale >= 1 for one in landmarks])
    name = named(data.classes[label])
    log.info("faces found in %d of %s of %s", is_found.sum(), counted(len(paths), "training image"), name)
    if not is_found.any():
        raise UserError(
            f"augment=robust makes images of faces, and no face was found in the training images of {name}; "
            f"{NOTHING_MADE} makes none"
        )
    chances = weights[own][is_found]
    return FoundFaces([paths[one] for one in np.flatnonzero(is_found)], landmarks[is_found], chances / chances.sum())
