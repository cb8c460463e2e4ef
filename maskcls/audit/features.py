"""Local features of images, from which files that show one image are recognized."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import cv2
import numpy as np

# longer side of a thumbnail in pixels: every image is resized to it, so that its size does not matter
SIDE = 160
# number of features kept of an image, the strongest ones
FEATURES = 80
# SIFT's contrast threshold; a lower one finds more features in faint texture
CONTRAST_THRESHOLD = 0.02

# positions in a descriptor that hold the values of the mirror image's descriptor: mirroring reverses the rows of the
# 4 x 4 cells and the order of the 8 directions
_MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1, :, -np.arange(8) % 8].ravel()


class Features(NamedTuple):
    """Thumbnail and local features of one image.

    Attributes:
        thumbnail: uint8 [height, width], the image in grey with a longer side of `SIDE` pixels.
        positions: float32 [features, 2], x and y in pixels of the thumbnail.
        descriptors: uint8 [features, 128].
    """

    thumbnail: np.ndarray
    positions: np.ndarray
    descriptors: np.ndarray


_NONE = Features(np.empty((0, 0), np.uint8), np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8))


def grey_thumbnail(image: np.ndarray) -> np.ndarray:
    """Resize an RGB image, uint8 [height, width, 3], to a longer side of `SIDE` pixels, in grey: uint8 [h, w]."""
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.cvtColor(cv2.resize(image, size, interpolation=interpolation), cv2.COLOR_RGB2GRAY)


def extract(thumbnail: np.ndarray) -> Features:
    """Find the strongest SIFT features (Lowe 2004, https://doi.org/10.1023/B:VISI.0000029664.99615.94) of an image.

    Descriptors are RootSIFT (Arandjelovic and Zisserman 2012, https://doi.org/10.1109/CVPR.2012.6248018).

    Args:
        thumbnail: uint8 [height, width], as `grey_thumbnail` returns it.
    """
    detector = cv2.SIFT.create(nfeatures=FEATURES, contrastThreshold=CONTRAST_THRESHOLD)
    keypoints, descriptors = detector.detectAndCompute(thumbnail, None)
    if not keypoints:
        return _NONE._replace(thumbnail=thumbnail)
    strongest = np.argsort([-point.response for point in keypoints], kind="stable")[:FEATURES]
    positions = np.array([keypoints[i].pt for i in strongest], dtype=np.float32)
    chosen = descriptors[strongest]
    rooted = np.sqrt(chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1e-9))
    return Features(thumbnail, positions, np.minimum(np.rint(512 * rooted), 255).astype(np.uint8))


def mirrored(descriptors: np.ndarray) -> np.ndarray:
    """Compute the descriptors, uint8 [features, 128], that the same features have in the mirror image."""
    return descriptors[:, _MIRRORED]


class FeatureStore:
    """Features of many images, in files instead of memory. First all images are added, then they can be read.

    The system removes the files when nothing refers to the store or to what was read from it, or the process dies.

    Args:
        folder: existing folder on a disk that has room for the files.
    """

    def __init__(self, folder: Path) -> None:
        self._files = {name: TemporaryFile(dir=folder) for name in Features._fields}  # noqa: SIM115, closed when mapped
        self._starts = [0]
        self._corners = [0]
        self._shapes: list[tuple[int, ...]] = []

    def add(self, features: Features | None) -> None:
        """Append an image; None for one that cannot be read."""
        added = features or _NONE
        for name, file in self._files.items():
            file.write(getattr(added, name).tobytes())
        self._starts.append(self._starts[-1] + len(added.positions))
        self._corners.append(self._corners[-1] + added.thumbnail.size)
        self._shapes.append(added.thumbnail.shape)

    def close(self) -> None:
        """End adding. From now on images can be read."""
        self.descriptors = self._mapped("descriptors", np.uint8).reshape(-1, 128)
        self._positions = self._mapped("positions", np.float32).reshape(-1, 2)
        self._thumbnails = self._mapped("thumbnail", np.uint8)
        self.starts = np.array(self._starts)

    def _mapped(self, name: str, dtype: type[Any]) -> np.ndarray:
        with self._files[name] as file:  # which the map keeps
            file.flush()
            # an empty file cannot be mapped
            return np.memmap(file, dtype=dtype, mode="r") if file.tell() else np.empty(0, dtype=dtype)

    def features(self, image: int) -> Features:
        """Read the features of an image, given its position."""
        part = slice(self._starts[image], self._starts[image + 1])
        thumbnail = self._thumbnails[self._corners[image] : self._corners[image + 1]].reshape(self._shapes[image])
        return Features(thumbnail, self._positions[part], self.descriptors[part])
