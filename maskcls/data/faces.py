"""Faces in photographs: found by YuNet (Wu et al. 2023, https://doi.org/10.1007/s11633-023-1423-y), and cut out."""

import hashlib
import logging
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from maskcls.cores import in_threads
from maskcls.data.decode import Box, UnreadableImageError, decode_image
from maskcls.errors import UserError
from maskcls.files import replaced_atomically

log = logging.getLogger(__name__)

# the detector of OpenCV's model zoo, MIT licence
FILE_NAME = "face_detection_yunet_2023mar.onnx"
URLS = (
    f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{FILE_NAME}",
    f"https://huggingface.co/opencv/face_detection_yunet/resolve/main/{FILE_NAME}",
)
FILE_SIZE = 232_589
FILE_DIGEST = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
TIMEOUT_SECONDS = 30

# pixels that a photograph's longer side is brought to before faces are looked for
LONGER_SIDE = 480
# border that is added on each side, as a share of that: a face that fills the picture is found so
PADDING = 0.25
MIN_SCORE = 0.6
# side of the square, in units of the longer side of the face that YuNet marks: that of the study's face crops
MARGIN = 1.0
# share of a picture's longer side from which on its face needs no cutting out, in the mode auto
ALREADY_CUT_OUT = 0.8

Finding = Literal["found", "fills", "none"]


class Face(NamedTuple):
    """What was found in a picture.

    Attributes:
        finding: ``found``; ``fills``, where the picture is a face already; or ``none``.
        box: the square to cut out, None for the whole picture.
    """

    finding: Finding
    box: Box | None = None


def find_detector(model: Path | None, cache_dir: Path) -> Path:
    """The detector's file: the one named, or the one in the cache, fetched there first where it is missing.

    Raises:
        UserError: where it is missing and cannot be fetched, or is another file than was published.
    """
    if model is not None:
        if not model.is_file():
            raise UserError(f"faces.model={model}: no such file; expected {FILE_NAME} of OpenCV's model zoo")
        return model
    path = cache_dir / FILE_NAME
    if path.is_file() and _is_published(path.read_bytes()):
        return path
    problems = []
    for url in URLS:
        log.info("fetching the face detector from %s", url)
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
                content = response.read(FILE_SIZE + 1)
        except OSError as error:
            problems.append(f"{url}: {error}")
            continue
        if not _is_published(content):
            problems.append(f"{url}: not the file that was published")
            continue
        cache_dir.mkdir(parents=True, exist_ok=True)
        with replaced_atomically(path) as temporary:
            temporary.write_bytes(content)
        return path
    raise UserError(
        f"the face detector cannot be fetched; put {FILE_NAME} of OpenCV's model zoo somewhere and name it by "
        f"faces.model=PATH ({'; '.join(problems)})"
    )


def _is_published(content: bytes) -> bool:
    return len(content) == FILE_SIZE and hashlib.sha256(content).hexdigest() == FILE_DIGEST


class FaceFinder:
    """Finds the face in a picture; may be shared by threads.

    Args:
        model: the detector's file.
        cuts_crops: cut out faces that fill their pictures, too.

    Raises:
        UserError: where the file is no detector.
    """

    def __init__(self, model: Path, cuts_crops: bool) -> None:
        self.model = model
        self.cuts_crops = cuts_crops
        self._own = threading.local()  # OpenCV's detector is not to be shared
        self._detector()

    def _detector(self) -> cv2.FaceDetectorYN:
        if not hasattr(self._own, "detector"):
            try:
                self._own.detector = cv2.FaceDetectorYN.create(str(self.model), "", (320, 320), MIN_SCORE)
            except cv2.error as error:
                raise UserError(f"faces.model={self.model}: not a detector that OpenCV can read: {error.err}") from None
        return self._own.detector

    def find(self, image: np.ndarray) -> Face:
        """Find the surest face.

        Args:
            image: RGB, uint8 [height, width, 3].
        """
        height, width = image.shape[:2]
        scale = LONGER_SIDE / max(height, width)
        small = cv2.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))))
        padding = round(PADDING * LONGER_SIDE)
        padded = cv2.copyMakeBorder(small, padding, padding, padding, padding, cv2.BORDER_CONSTANT)
        detector = self._detector()
        detector.setInputSize((padded.shape[1], padded.shape[0]))
        _, faces = detector.detect(cv2.cvtColor(padded, cv2.COLOR_RGB2BGR))
        if faces is None:
            return Face("none")
        left, top, face_width, face_height = faces[faces[:, -1].argmax()][:4]
        side = MARGIN * max(face_width, face_height) / scale
        if not self.cuts_crops and side >= ALREADY_CUT_OUT * max(height, width):
            return Face("fills")
        centre = ((left + face_width / 2 - padding) / scale, (top + face_height / 2 - padding) / scale)
        return Face("found", square_around(centre, side, width, height))


def square_around(centre: tuple[float, float], side: float, width: int, height: int) -> Box:
    """A square that lies in the picture: no larger than it, and moved inside where it would reach over an edge."""
    pixels = max(1, min(round(side), width, height))
    left, top = (
        int(np.clip(round(middle - pixels / 2), 0, length - pixels))
        for middle, length in zip(centre, (width, height), strict=True)
    )
    return Box(left, top, pixels)


def report_faces(findings: Sequence[Finding]) -> None:
    """Say in how many pictures a face was found; those without are classified whole, and count."""
    counts = {finding: findings.count(finding) for finding in ("found", "fills", "none")}
    whole = f", {counts['fills']} are a face already" if counts["fills"] else ""
    log.info(
        "faces found in %d of %d pictures%s; %d without one are classified whole",
        counts["found"] + counts["fills"],
        len(findings),
        whole,
        counts["none"],
    )


def find_faces(root: Path, paths: Sequence[str], finder: FaceFinder, threads: int) -> list[Face]:
    """Find the face in each file; in one that cannot be read there is none.

    Args:
        root: the folder that the paths are relative to.
    """

    def find(path: str) -> Face:
        try:
            return finder.find(decode_image(root / path))
        except UnreadableImageError:
            return Face("none")

    with in_threads(find, paths, threads) as faces:
        bar = tqdm(faces, total=len(paths), desc="faces", unit=" images", leave=False, disable=None)
        return list(bar)
