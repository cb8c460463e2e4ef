"""Faces that get the lower half of another face: a mask as somebody wears it, or another bare mouth."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import cv2
import numpy as np

from maskcls.data.decode import decode_file
from maskcls.data.image_files import ImageFiles
from maskcls.data.made import FoundFaces, MadeFaces
from maskcls.data.worn import Pose, pose_of

# number of other faces that are drawn; the one whose head is turned most alike gives its lower half
CANDIDATES = 6

# All of these are in face coordinates, see `maskcls.data.drawing.Pen`.
# points of bare skin around the eyes, which tell how the light of two photographs differs
SKIN = np.array([(-0.3, 0.1, 1), (0.3, 0.1, 1), (0, -0.1, 1), (-0.3, -0.35, 1), (0, -0.4, 1), (0.3, -0.35, 1)])
# smallest and largest x and y of a lower half
LEFT, RIGHT, TOP, BOTTOM = -1.05, 1.05, -0.15, 1.5
# how high a lower half reaches on the nose, and how much lower that is on the cheeks
NOSE, CHEEKS = (-0.02, 0.06), 0.19
# how far it reaches to both sides, and down; where it begins to narrow, and the exponent of its rounded outline
WIDTH, LENGTH, NARROW, ROUNDNESS = (0.84, 0.98), (1.25, 1.4), 0.3, 2.5
# width of its soft edge
EDGE = (0.03, 0.1)

# smallest and largest factor by which the light of two photographs may differ, and the power of it that is made good
LIGHT_BOUNDS, LIGHT_POWER = (0.5, 1.7), 0.8


class PosedFace(NamedTuple):
    """An image and the pose of the head in it.

    Attributes:
        image: RGB uint8 [height, width, 3].
        pose: the pose.
    """

    image: np.ndarray
    pose: Pose

    def part(self, rows: slice, columns: slice) -> "PosedFace":
        """Cut out a part."""
        frame = self.pose.frame.copy()
        frame[:, 2] -= columns.start, rows.start
        return PosedFace(self.image[rows, columns], Pose(frame, self.pose.yaw))

    def lower_half(self) -> tuple[slice, slice]:
        """The rows and columns of the image that a lower half can lie in."""
        corners = np.array([(x, y, 1) for x in (LEFT, RIGHT) for y in (TOP, BOTTOM)]) @ self.pose.frame.T
        height, width = self.image.shape[:2]
        low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, (width - 1, height - 1))
        high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, low + 1, (width, height))
        return slice(low[1], high[1]), slice(low[0], high[0])

    def skin(self) -> np.ndarray:
        """The colour of the skin around the eyes, RGB float [3]."""
        height, width = self.image.shape[:2]
        pixels = np.clip(np.rint(SKIN @ self.pose.frame.T), 0, (width - 1, height - 1)).astype(int)
        colour: np.ndarray = np.median(self.image[pixels[:, 1], pixels[:, 0]].astype(float), axis=0)
        return colour


def exchange_lower_half(rng: np.random.Generator, face: PosedFace, other: PosedFace) -> np.ndarray:
    """Lay the lower half of another face over that of a face, from the bridge of the nose to below the chin.

    Args:
        rng: draws how wide and long the half is, and how soft its edges are.
        face: what keeps its eyes.
        other: what gives nose, mouth and chin, or the mask over them.

    Returns:
        A new image of the shape of ``face``.
    """
    light = np.clip(np.maximum(face.skin(), 8) / np.maximum(other.skin(), 8), *LIGHT_BOUNDS) ** LIGHT_POWER
    where = face.lower_half()
    part, given = face.part(*where), other.part(*other.lower_half())
    moved, is_there = _moved(given, part)
    cover = (_cover(rng, part) * is_there)[:, :, None]
    exchanged = face.image.copy()
    laid = part.image * (1 - cover) + np.clip(moved * light.astype(np.float32), 0, 255) * cover
    exchanged[where] = np.clip(laid, 0, 255).astype(np.uint8)
    return exchanged


def _moved(given: PosedFace, part: PosedFace) -> tuple[np.ndarray, np.ndarray]:
    """Bring an image to the pose of another; also returns where there is something of it, float32 [height, width]."""
    height, width = part.image.shape[:2]
    turn = part.pose.frame @ np.linalg.inv(_square(given.pose.frame))
    scale = part.pose.scale / given.pose.scale
    image = given.image
    if scale < 0.7:  # fewer pixels than there were: no jagged edges
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.45 / scale), np.uint8)
    moved = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    is_there = cv2.warpAffine(np.ones(image.shape[:2], np.float32), turn, (width, height))
    return np.asarray(moved, np.float32), np.asarray(is_there, np.float32)


def _square(frame: np.ndarray) -> np.ndarray:
    """An affine map [2, 3] as a matrix [3, 3]."""
    return np.vstack([frame, (0, 0, 1)])


def _cover(rng: np.random.Generator, part: PosedFace) -> np.ndarray:
    """How much of each pixel a lower half covers; float32 [height, width], 0..1."""
    height, width = part.image.shape[:2]
    inverse = np.linalg.inv(_square(part.pose.frame)).astype(np.float32)
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    x, y = (inverse[axis, 0] * columns + inverse[axis, 1] * rows + inverse[axis, 2] for axis in (0, 1))
    soft, wide, low, top = (rng.uniform(*bounds) for bounds in (EDGE, WIDTH, LENGTH, NOSE))
    down = np.maximum(y - NARROW, 0) / (low - NARROW)
    outline = ((np.abs(x) / wide) ** ROUNDNESS + down**ROUNDNESS) ** (1 / ROUNDNESS)
    cover: np.ndarray = np.clip(np.minimum(y - top - CHEEKS * x**2, (1 - outline) * wide) / soft + 0.5, 0, 1)
    return cover


@dataclass(frozen=True)
class ExchangedFaces(MadeFaces):
    """Image files of bare faces, each of which gets the lower half of another face.

    Attributes:
        others: the faces that give their lower halves; their paths are relative to ``root``, too.
    """

    others: FoundFaces

    version: ClassVar[int] = 1

    def changed(self, rng: np.random.Generator, image: np.ndarray, position: int) -> np.ndarray:
        """Give an image the lower half of another, see `MadeFaces.changed`."""
        face = PosedFace(image, pose_of(self.landmarks[position]))
        other = self._other(rng, self.paths[position], face.pose.yaw)
        image_of_other = decode_file(self.root / self.others.paths[other]).image
        return exchange_lower_half(rng, face, PosedFace(image_of_other, pose_of(self.others.landmarks[other])))

    def _other(self, rng: np.random.Generator, path: str, yaw: float) -> int:
        """Draw another face whose head is turned by about ``yaw``; the face itself only if there is no other."""
        drawn = rng.choice(len(self.others.paths), CANDIDATES, p=self.others.chances)
        yaws = {int(one): pose_of(self.others.landmarks[one]).yaw for one in drawn}
        return min(yaws, key=lambda one: (self.others.paths[one] == path, abs(yaws[one] - yaw)))

    def cache_key(self) -> str:
        """Hash what the pixels depend on, see `ImageFiles.cache_key`."""
        others = ImageFiles(self.root, self.others.paths, self.size).cache_key()
        return self.hashed(
            f"exchanged {self.version} {others}", self.landmarks, self.others.landmarks, self.others.chances
        )
