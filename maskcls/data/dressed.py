"""Training images with a face that wears a drawn mask, or has a drawn obstacle before its mouth."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from maskcls.config import DataConfig
from maskcls.cores import usable_cores
from maskcls.data.faces import FaceFinder, find_landmarks
from maskcls.data.image_files import ImageFiles
from maskcls.data.made import MadeFaces
from maskcls.data.obstacles import OBSTACLE_CHANCES, grow_beard, hide_mouth, wear_glasses
from maskcls.data.worn import wear_mask
from maskcls.files import replaced_atomically

log = logging.getLogger(__name__)

# share of the faces with a drawn mask that have an obstacle, too: an obstacle must not tell the classes apart
OBSTACLES_OVER_MASKS = 0.15
# share of all faces that are drawn on that have glasses, and of those without a mask that have a beard
GLASSES, BEARDS = 0.2, 0.3

# the key that names the detector's file
DETECTOR_KEY = "augment.detector"

Dress = Literal["mask", "obstacle"]


def dress_up(rng: np.random.Generator, image: np.ndarray, landmarks: np.ndarray, dress: Dress) -> np.ndarray:
    """Draw a mask onto a bare face, or an obstacle before its mouth; on some of them also something else.

    Args:
        rng: draws everything.
        image: RGB uint8 [height, width, 3].
        landmarks: float [5, 2], as `maskcls.data.faces.Detection` has them.
    """
    with_glasses, with_beard, with_obstacle = rng.random(3)
    if dress == "mask":
        image = wear_mask(rng, image, landmarks)
        if with_obstacle < OBSTACLES_OVER_MASKS:
            image = hide_mouth(rng, image, landmarks)
    elif with_beard < BEARDS:
        image = grow_beard(rng, image, landmarks)
    else:
        image = hide_mouth(rng, image, landmarks, OBSTACLE_CHANCES)
    return wear_glasses(rng, image, landmarks) if with_glasses < GLASSES else image


@dataclass(frozen=True)
class DressedFaces(MadeFaces):
    """Image files of bare faces, each of which is drawn on.

    Attributes:
        dress: what is drawn.
    """

    dress: Dress

    version: ClassVar[int] = 3

    def changed(self, rng: np.random.Generator, image: np.ndarray, position: int) -> np.ndarray:
        """Draw on an image, see `MadeFaces.changed`."""
        return dress_up(rng, image, self.landmarks[position], self.dress)

    def cache_key(self) -> str:
        """Hash what the pixels depend on, see `ImageFiles.cache_key`."""
        return self.hashed(f"{self.dress} {self.version}", self.landmarks)


def cached_landmarks(root: Path, paths: Sequence[str], detector: Path, storage: DataConfig) -> np.ndarray:
    """Find the landmarks of faces, or take those of an earlier run from the cache.

    Args:
        root: folder that the paths are relative to.
        paths: image files.
        detector: the detector's file.
        storage: the keys cache_dir and workers are used.

    Returns:
        float64 [files, 5, 2] as `find_landmarks` does.

    Raises:
        UserError: OpenCV cannot read the detector.
    """
    digest = hashlib.sha256(detector.read_bytes()).hexdigest()[:16]
    file = storage.cache_dir / f"{ImageFiles(root, paths, 0).cache_key()}-{digest}.landmarks.npy"
    if file.exists():
        try:
            landmarks: np.ndarray = np.load(file)
        except (ValueError, EOFError):
            landmarks = np.empty(0)
        if landmarks.shape == (len(paths), 5, 2):
            return landmarks
        log.warning("%s: damaged, looking for the faces again", file)
    log.info("looking for the faces in %d training images", len(paths))
    finder = FaceFinder(detector, always_crop=True, key=DETECTOR_KEY)
    landmarks = find_landmarks(root, paths, finder, storage.workers or usable_cores())
    storage.cache_dir.mkdir(parents=True, exist_ok=True)
    with replaced_atomically(file) as temporary, temporary.open("wb") as opened:
        np.save(opened, landmarks)
    return landmarks
