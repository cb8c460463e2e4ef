"""What is classified in a picture: each of its faces, or the picture as a whole."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from maskcls.data.decode import Box
from maskcls.data.detection import Detection
from maskcls.data.faces import FaceFinder, FaceFinding


class Subject(NamedTuple):
    """What is classified.

    Attributes:
        finding: ``found`` for a face, ``fills`` for a picture that a face fills, ``none`` for a picture without a
            face; None if no face was looked for.
        detection: where the face is; None if there is none.
        box: the square that was cut out of the picture; None for the whole picture.
        image: the network's input, RGB uint8 [size, size, 3].
    """

    finding: FaceFinding | None
    detection: Detection | None
    box: Box | None
    image: np.ndarray


def find_subjects(
    image: np.ndarray,
    finder: FaceFinder | None,
    prepare: Callable[[np.ndarray, Box | None], np.ndarray],
    *,
    min_size: int,
    takes_whole: bool,
) -> tuple[list[Subject], int]:
    """Find what is to be classified in a picture.

    Args:
        image: RGB uint8 [height, width, 3].
        finder: finds the faces; None to classify the picture as a whole.
        prepare: makes the network's input of a square of the picture, or of the whole picture.
        min_size: pixels of the longer side of the smallest face.
        takes_whole: whether a picture without a face is classified as a whole.

    Returns:
        The faces from left to right, or the whole picture, or nothing; and how many faces are too small.
    """
    if finder is None:
        return [Subject(None, None, None, prepare(image, None))], 0
    detections = finder.detect_all(image, min_size=min_size)
    if not detections.faces:
        whole = [Subject("none", None, None, prepare(image, None))] if takes_whole else []
        return whole, detections.left_out
    height, width = image.shape[:2]
    subjects = []
    for detection in sorted(detections.faces, key=lambda detection: detection.left):
        face = finder.crop_of(detection, width=width, height=height)
        subjects.append(Subject(face.finding, detection, face.box, prepare(image, face.box)))
    return subjects, detections.left_out
