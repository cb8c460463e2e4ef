"""Finds faces in pictures with YuNet (Wu et al. 2023, https://doi.org/10.1007/s11633-023-1423-y), to cut them out."""

import hashlib
import logging
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np

from maskcls.cores import in_threads
from maskcls.data.decode import Box, UnreadableImageError, decode_image
from maskcls.errors import MACHINE_ERRORS, UserError
from maskcls.files import replaced_atomically
from maskcls.progress import progress

log = logging.getLogger(__name__)

# the detector's file in OpenCV's model zoo; MIT licence
FILE_NAME = "face_detection_yunet_2023mar.onnx"
URLS = (
    f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{FILE_NAME}",
    f"https://huggingface.co/opencv/face_detection_yunet/resolve/main/{FILE_NAME}",
)
FILE_SIZE = 232_589
FILE_DIGEST = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
TIMEOUT_SECONDS = 30

# the detector sees every picture resized so that its longer side has so many pixels
LONGER_SIDE = 480
# the same for pictures that are face crops, which are quick to search
LONGER_SIDE_OF_CROPS = 160
# border around the resized picture, as a share of its longer side; without it a face that fills the picture is missed
PADDING = 0.25
# lowest score of a detection that counts as a face, 0..1
MIN_SCORE = 0.6
# side of the square to cut out, as a multiple of the longer side of YuNet's box; 1 gives crops like the study's
MARGIN = 1.0
# with faces.mode=auto a picture stays whole if the square would have at least this share of its longer side
ALREADY_CUT_OUT = 0.8

FaceFinding = Literal["found", "fills", "none"]


class Face(NamedTuple):
    """The result of looking for a face in a picture.

    Attributes:
        finding: ``found``, ``fills`` if the face fills the picture, which stays whole, or ``none``.
        box: the square to cut out; None to keep the whole picture.
    """

    finding: FaceFinding
    box: Box | None = None


def find_detector(model: Path | None, *, cache_dir: Path, key: str = "faces.model") -> Path:
    """Find the detector's file; download it into the cache if it is not there.

    Args:
        model: a file to use instead of the one in the cache, or None.
        cache_dir: folder of the cache.
        key: the key that names ``model``, for messages.

    Raises:
        UserError: ``model`` does not exist, or the published file cannot be downloaded.
    """
    if model is not None:
        if not model.is_file():
            raise UserError(f"{key}={model}: no such file; expected {FILE_NAME} of OpenCV's model zoo")
        return model
    path = cache_dir / FILE_NAME
    if path.is_file() and _is_published(path.read_bytes()):
        return path
    problems = []
    for url in URLS:
        log.info("downloading the face detector from %s", url)
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
                content = response.read(FILE_SIZE + 1)
        except OSError as error:
            problems.append(f"{url}: {error}")
            continue
        if not _is_published(content):
            problems.append(f"{url}: not the published file")
            continue
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            with replaced_atomically(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            if error.errno in MACHINE_ERRORS:
                raise
            raise UserError(
                f"{cache_dir}: cannot write the face detector in this folder: {error.strerror}; the environment "
                "variable MASKCLS_CACHE names another one, or faces.model=PATH a copy of the detector"
            ) from None
        return path
    raise UserError(
        f"the face detector cannot be downloaded ({'; '.join(problems)}); get {FILE_NAME} from OpenCV's model zoo and "
        f"give {key}=PATH"
    )


def _is_published(content: bytes) -> bool:
    return len(content) == FILE_SIZE and hashlib.sha256(content).hexdigest() == FILE_DIGEST


class Detection(NamedTuple):
    """A face in a picture, in pixels.

    Attributes:
        left: left edge of the box around the face; it may be outside of the picture, as may all others.
        top: its upper edge.
        width: its width.
        height: its height.
        landmarks: float64 [5, 2], x and y of the eye on the left of the picture, the other eye, the tip of the nose,
            the corner of the mouth on the left, and the other one.
    """

    left: float
    top: float
    width: float
    height: float
    landmarks: np.ndarray

    @property
    def centre(self) -> tuple[float, float]:
        """The x and y of the middle of the box."""
        return self.left + self.width / 2, self.top + self.height / 2


class FaceFinder:
    """Finds the face in a picture. Threads may share a finder.

    Args:
        model: the detector's file.
        always_crop: cut out the face even if it fills the picture.
        key: the key that names the file, for messages.

    Raises:
        UserError: OpenCV cannot read the file as a detector.
    """

    def __init__(self, model: Path, *, always_crop: bool, key: str = "faces.model") -> None:
        self.model = model
        self.key = key
        self.always_crop = always_crop
        self._own = threading.local()  # threads may not share a detector of OpenCV
        self._detector()

    def _detector(self) -> cv2.FaceDetectorYN:
        if not hasattr(self._own, "detector"):
            try:
                self._own.detector = cv2.FaceDetectorYN.create(str(self.model), "", (320, 320), MIN_SCORE)
            except cv2.error as error:
                raise UserError(f"{self.key}={self.model}: not a detector that OpenCV can read: {error.err}") from None
        return self._own.detector

    def find(self, image: np.ndarray) -> Face:
        """Find the face with the highest score in an RGB image, uint8 [height, width, 3]."""
        height, width = image.shape[:2]
        detection = self.detect(image)
        if detection is None:
            return Face("none")
        side = MARGIN * max(detection.width, detection.height)
        if not self.always_crop and side >= ALREADY_CUT_OUT * max(height, width):
            return Face("fills")
        return Face("found", square_around(detection.centre, side, width=width, height=height))

    def detect(self, image: np.ndarray, longer_side: int = LONGER_SIDE) -> Detection | None:
        """Detect the face with the highest score.

        Args:
            image: RGB uint8 [height, width, 3].
            longer_side: pixels of the longer side of the picture that the detector sees.

        Returns:
            None if there is no face.
        """
        height, width = image.shape[:2]
        scale = longer_side / max(height, width)
        small = cv2.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))))
        padding = round(PADDING * longer_side)
        padded = cv2.copyMakeBorder(small, padding, padding, padding, padding, cv2.BORDER_CONSTANT)
        detector = self._detector()
        detector.setInputSize((padded.shape[1], padded.shape[0]))
        _, faces = detector.detect(cv2.cvtColor(padded, cv2.COLOR_RGB2BGR))
        if faces is None:
            return None
        best = faces[faces[:, -1].argmax()][:14].astype(np.float64)
        points = (best.reshape(7, 2) - padding) / scale  # the second row is a size
        left, top, *_ = points.ravel().tolist()
        return Detection(left, top, float(best[2] / scale), float(best[3] / scale), points[2:])


def square_around(centre: tuple[float, float], side: float, *, width: int, height: int) -> Box:
    """Return the square in a picture that is nearest to one with this centre (x, y) and side; all are in pixels."""
    pixels = max(1, min(round(side), width, height))
    left, top = (
        int(np.clip(round(middle - pixels / 2), 0, length - pixels))
        for middle, length in zip(centre, (width, height), strict=True)
    )
    return Box(left, top, pixels)


def report_faces(findings: Sequence[FaceFinding]) -> None:
    """Log in how many pictures a face was found. Pictures without a face are classified whole, and count."""
    fills, none = findings.count("fills"), findings.count("none")
    crops = f" ({fills} are face crops already)" if fills else ""
    message = "faces found in %d of %d pictures%s; %d without one are classified whole"
    log.info(message, len(findings) - none, len(findings), crops, none)


def find_landmarks(root: Path, paths: Sequence[str], finder: FaceFinder, threads: int) -> np.ndarray:
    """Find the landmarks of the face in each image file below ``root``; the images are face crops.

    Returns:
        float64 [files, 5, 2] as in `Detection`, NaN where no face is found.
    """
    nothing = np.full((5, 2), np.nan)

    def find(path: str) -> np.ndarray:
        try:
            detection = finder.detect(decode_image(root / path), LONGER_SIDE_OF_CROPS)
        except UnreadableImageError:
            return nothing
        return nothing if detection is None else detection.landmarks

    with in_threads(find, paths, threads) as faces:
        return np.stack(list(progress(faces, total=len(paths), phase="landmarks")))


def find_faces(root: Path, paths: Sequence[str], finder: FaceFinder, threads: int) -> list[Face]:
    """Find the face in each image file below ``root``; a file that cannot be read has none."""

    def find(path: str) -> Face:
        try:
            return finder.find(decode_image(root / path))
        except UnreadableImageError:
            return Face("none")

    with in_threads(find, paths, threads) as faces:
        return list(progress(faces, total=len(paths), phase="faces"))
