"""Detects all faces of a picture with YuNet (Wu et al. 2023, https://doi.org/10.1007/s11633-023-1423-y)."""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from maskcls.errors import UserError

# YuNet misses many faces that it sees with fewer pixels than this
SEEN_PIXELS = 40
# a picture is enlarged at most so many times: smaller faces hold too little
MAX_ENLARGEMENT = 2.0
# longer side in pixels at which a picture is searched at most; it bounds memory and time
LONGEST_SIDE = 1600
# boxes that have this share of their union in common show one face
SAME_FACE = 0.3
# the lower edge of a mask and the neck look like a face, whose eyes are up to so far below the face with the mask, as a
# share of its height
CHIN = 0.15


class Detection(NamedTuple):
    """A face in a picture, in pixels.

    Attributes:
        left: left edge of the box around the face; it may be outside of the picture, as may all others.
        top: its upper edge.
        width: its width.
        height: its height.
        landmarks: float64 [5, 2], x and y of the eye on the left of the picture, the other eye, the tip of the nose,
            the corner of the mouth on the left, and the other one.
        score: how sure the detector is, 0..1.
    """

    left: float
    top: float
    width: float
    height: float
    landmarks: np.ndarray
    score: float

    @property
    def centre(self) -> tuple[float, float]:
        """The x and y of the middle of the box."""
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def size(self) -> float:
        """The longer side of the box."""
        return max(self.width, self.height)


class View(NamedTuple):
    """How the detector sees a picture.

    Attributes:
        longer_side: the longer side of the resized picture in pixels.
        border: width of a black border around it, in pixels.
        min_score: lowest score of a detection that counts as a face, 0..1.
        averaged: whether all pixels count where the picture shrinks to less than half, which removes noise.
    """

    longer_side: int
    border: int = 0
    min_score: float = 0.7
    averaged: bool = True


# finds faces that fill the picture: with more pixels, most masked ones are missed
WHOLE = View(192, border=48)
# finds large faces with a mask that the search for small ones misses; they get high scores
MIDDLE = View(480, min_score=0.8)
# for pictures that are known to be face crops
CROP = View(160, border=40, min_score=0.6, averaged=False)


class Detector:
    """YuNet. Threads may share a detector.

    Args:
        model: its file.
        key: the key that names the file, for messages.

    Raises:
        UserError: OpenCV cannot read the file as a detector.
    """

    def __init__(self, model: Path, *, key: str) -> None:
        self.model = model
        self.key = key
        self._own = threading.local()  # threads may not share a detector of OpenCV
        try:  # OpenCV reads any ONNX file, such as an exported classifier
            self.detect(np.zeros((32, 32, 3), np.uint8), WHOLE)
        except cv2.error as error:
            raise UserError(f"{key}={model}: not a face detector: {error.err}") from None

    def _yunet(self) -> cv2.FaceDetectorYN:
        if not hasattr(self._own, "yunet"):
            try:
                self._own.yunet = cv2.FaceDetectorYN.create(str(self.model), "", (320, 320), nms_threshold=SAME_FACE)
            except cv2.error as error:
                raise UserError(f"{self.key}={self.model}: not a detector that OpenCV can read: {error.err}") from None
        return self._own.yunet

    def detect(self, image: np.ndarray, view: View) -> list[Detection]:
        """Detect faces in one view of an RGB image, uint8 [height, width, 3]; the highest score comes first."""
        height, width = image.shape[:2]
        scale = view.longer_side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        interpolation = cv2.INTER_AREA if view.averaged and scale < 0.5 else cv2.INTER_LINEAR
        border = view.border
        seen = cv2.copyMakeBorder(
            cv2.resize(image, size, interpolation=interpolation), border, border, border, border, cv2.BORDER_CONSTANT
        )
        yunet = self._yunet()
        yunet.setInputSize((seen.shape[1], seen.shape[0]))
        yunet.setScoreThreshold(view.min_score)
        _, rows = yunet.detect(cv2.cvtColor(seen, cv2.COLOR_RGB2BGR))
        if rows is None:
            return []
        return by_score(_detection(row, border, scale) for row in rows.astype(np.float64))

    def detect_all(self, image: np.ndarray, smallest: int) -> list[Detection]:
        """Detect all faces in an RGB image, uint8 [height, width, 3], each once; the highest score comes first.

        Args:
            smallest: size in pixels of the smallest face that matters. Smaller ones may be found, too.
        """
        views = views_of(max(image.shape[:2]), smallest)
        return each_once(found for view in views for found in self.detect(image, view))


def views_of(longer_side: int, smallest: int) -> list[View]:
    """Return the views in which faces from a size of ``smallest`` on are found in a picture with this longer side."""
    scale = min(SEEN_PIXELS / smallest, MAX_ENLARGEMENT)
    search = View(max(1, min(round(scale * longer_side), LONGEST_SIDE)))
    return [WHOLE, search] if search.longer_side < 2 * MIDDLE.longer_side else [WHOLE, MIDDLE, search]


def by_score(detections: Iterable[Detection]) -> list[Detection]:
    """Return the detections, those with the highest score first."""
    return sorted(detections, key=lambda one: -one.score)


def each_once(detections: Iterable[Detection]) -> list[Detection]:
    """Keep the best detection of each face.

    A detection is left out if a better one shows the same face, or if it shows a part of a better one. Of two people
    cheek to cheek, none has both eyes in the box of the other.
    """
    kept: list[Detection] = []
    for one in by_score(detections):
        if not any(_overlap(one, other) >= SAME_FACE or _on_chin_or_in(one, other) for other in kept):
            kept.append(one)
    return kept


def _detection(row: np.ndarray, border: int, scale: float) -> Detection:
    """Translate a row of YuNet: left, top, width, height, five points and the score, in pixels of what it saw."""
    points = (row[:14].reshape(7, 2) - border) / scale  # the second is a size
    left, top, *_ = points.ravel().tolist()
    return Detection(left, top, float(row[2] / scale), float(row[3] / scale), points[2:], float(row[14]))


def _overlap(first: Detection, second: Detection) -> float:
    """Return the area that two boxes have in common, as a share of their union."""
    width = min(first.left + first.width, second.left + second.width) - max(first.left, second.left)
    height = min(first.top + first.height, second.top + second.height) - max(first.top, second.top)
    common = max(0.0, width) * max(0.0, height)
    return common / (first.width * first.height + second.width * second.height - common) if common else 0.0


def _on_chin_or_in(one: Detection, other: Detection) -> bool:
    """Whether both eyes of a detection lie in the box of another one, or on its chin."""
    corner, size = (other.left, other.top), (other.width, (1 + CHIN) * other.height)
    eyes = one.landmarks[:2]
    return bool(((eyes >= corner) & (eyes <= np.add(corner, size))).all())
