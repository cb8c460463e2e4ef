"""Training images with a face that wears a drawn mask, or has a drawn obstacle before its mouth."""

import hashlib
import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from maskcls.config import DataConfig
from maskcls.cores import usable_cores
from maskcls.data.decode import Decoded, decode_file, prepare_image
from maskcls.data.faces import FaceFinder, find_landmarks
from maskcls.data.image_files import ImageFiles
from maskcls.data.obstacles import grow_beard, hide_mouth, wear_glasses
from maskcls.data.worn import wear_mask
from maskcls.files import replaced_atomically

log = logging.getLogger(__name__)

# change it when the same file gets another drawing than before
DRAWING_VERSION = 1
# share of the faces with a drawn mask that have an obstacle, too: an obstacle must not tell the classes apart
OBSTACLES_OVER_MASKS = 0.15
# share of all faces that are drawn on that have glasses, and of those without a mask that have a beard
GLASSES, BEARDS = 0.2, 0.25

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
        image = hide_mouth(rng, image, landmarks)
    return wear_glasses(rng, image, landmarks) if with_glasses < GLASSES else image


@dataclass(frozen=True)
class DressedFaces(ImageFiles):
    """Image files of bare faces, each of which is drawn on before it is prepared.

    Attributes:
        dress: what is drawn.
        landmarks: float [files, 5, 2], as `maskcls.data.faces.Detection` has them.
    """

    dress: Dress = "mask"
    landmarks: np.ndarray = field(default_factory=lambda: np.empty((0, 5, 2)))

    def read(self, position: int) -> Decoded:
        """Decode, draw and prepare the image at a position of ``paths``; see `ImageFiles.read`."""
        path = self.paths[position]
        decoded = decode_file(self.root / path)
        # the same drawing for the same file, whatever other files there are
        rng = np.random.default_rng([DRAWING_VERSION, zlib.crc32(path.encode(errors="surrogateescape"))])
        dressed = dress_up(rng, decoded.image, self.landmarks[position], self.dress)
        return decoded._replace(image=prepare_image(dressed, self.size, resize=self.resize), remark="")

    def cache_key(self) -> str:
        """Hash what the pixels depend on, see `ImageFiles.cache_key`."""
        digest = hashlib.sha256(f"{super().cache_key()} {DRAWING_VERSION} {self.dress}".encode())
        digest.update(self.landmarks.tobytes())
        return digest.hexdigest()[:32]


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
    log.info("looking for the faces in %d images, to draw masks onto them", len(paths))
    finder = FaceFinder(detector, always_crop=True, key=DETECTOR_KEY)
    landmarks = find_landmarks(root, paths, finder, storage.workers or usable_cores())
    storage.cache_dir.mkdir(parents=True, exist_ok=True)
    with replaced_atomically(file) as temporary, temporary.open("wb") as opened:
        np.save(opened, landmarks)
    return landmarks
