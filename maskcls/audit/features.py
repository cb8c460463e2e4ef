"""Local features of an image: what is compared to find two pictures of one photograph."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

# pixels of a thumbnail's longer side: every image is shrunk or enlarged to it, so that its size does not matter
SIDE = 160
# the strongest features that are kept of an image
FEATURES = 80
# of SIFT; lower finds more features in faint texture
CONTRAST_THRESHOLD = 0.02

# where the numbers of a mirror image's descriptor stand in the original's: the rows of its 4 x 4 cells run the other
# way, and so do its 8 directions
_MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1, :, -np.arange(8) % 8].ravel()


class Features(NamedTuple):
    """Local features of one image.

    Attributes:
        positions: float32 [features, 2], x and y in pixels of the image enlarged or shrunk to `SIDE`.
        descriptors: uint8 [features, 128].
    """

    positions: np.ndarray
    descriptors: np.ndarray


def grey_thumbnail(image: np.ndarray) -> np.ndarray:
    """The image in grey, its longer side `SIDE` pixels: uint8 [height, width]."""
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.cvtColor(cv2.resize(image, size, interpolation=interpolation), cv2.COLOR_RGB2GRAY)


def extract(thumbnail: np.ndarray) -> Features:
    """The strongest SIFT features (Lowe 2004, https://doi.org/10.1023/B:VISI.0000029664.99615.94) of an image.

    Descriptors are RootSIFT (Arandjelovic and Zisserman 2012, https://doi.org/10.1109/CVPR.2012.6248018).

    Args:
        thumbnail: uint8 [height, width], as `grey_thumbnail` returns it.
    """
    detector = cv2.SIFT.create(nfeatures=FEATURES, contrastThreshold=CONTRAST_THRESHOLD)
    keypoints, descriptors = detector.detectAndCompute(thumbnail, None)
    if not keypoints:
        return _NO_FEATURES
    strongest = np.argsort([-point.response for point in keypoints], kind="stable")[:FEATURES]
    positions = np.array([keypoints[i].pt for i in strongest], dtype=np.float32)
    chosen = descriptors[strongest]
    rooted = np.sqrt(chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1e-9))
    return Features(positions, np.minimum(np.rint(512 * rooted), 255).astype(np.uint8))


def mirrored(descriptors: np.ndarray) -> np.ndarray:
    """The descriptors that the features of the mirror image would have, in the same order."""
    return descriptors[:, _MIRRORED]


class FeatureStore:
    """Features and thumbnails of many images, in files of a folder, so that memory does not grow with their number.

    Args:
        folder: one that exists; the files in it are the store's, and are left for the folder's owner to remove.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = {name: folder / name for name in ("descriptors", "positions", "thumbnails")}
        self._files = {name: path.open("wb") for name, path in self._paths.items()}
        self._starts = [0]
        self._shapes: list[tuple[int, int]] = []
        self._corners = [0]

    def __len__(self) -> int:
        return len(self._shapes)

    def add(self, thumbnail: np.ndarray | None, features: Features | None) -> None:
        """Append an image; None for one that has no pixels."""
        if thumbnail is None or features is None:
            thumbnail, features = np.empty((0, 0), np.uint8), _NO_FEATURES
        self._files["descriptors"].write(features.descriptors.tobytes())
        self._files["positions"].write(features.positions.tobytes())
        self._files["thumbnails"].write(thumbnail.tobytes())
        self._starts.append(self._starts[-1] + len(features.positions))
        self._corners.append(self._corners[-1] + thumbnail.size)
        self._shapes.append((thumbnail.shape[0], thumbnail.shape[1]))

    def close(self) -> None:
        """End adding; from now on images can be read."""
        for file in self._files.values():
            file.close()
        self.descriptors = _mapped(self._paths["descriptors"], np.uint8).reshape(-1, 128)
        self._positions = _mapped(self._paths["positions"], np.float32).reshape(-1, 2)
        self._thumbnails = _mapped(self._paths["thumbnails"], np.uint8)
        self.starts = np.array(self._starts)

    def features(self, image: int) -> Features:
        """The features of an image, by its position."""
        part = slice(self._starts[image], self._starts[image + 1])
        return Features(self._positions[part], self.descriptors[part])

    def thumbnail(self, image: int) -> np.ndarray:
        """The thumbnail of an image: uint8 [height, width]."""
        return self._thumbnails[self._corners[image] : self._corners[image + 1]].reshape(self._shapes[image])


_NO_FEATURES = Features(np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8))


def _mapped(path: Path, kind: type) -> np.ndarray:
    # an empty file cannot be mapped
    return np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.empty(0, dtype=kind)
