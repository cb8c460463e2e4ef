"""Finds faces in pictures, to cut them out."""

import hashlib
import logging
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from maskcls.config import FacesConfig
from maskcls.cores import in_threads
from maskcls.data.decode import Box, UnreadableImageError, decode_image
from maskcls.data.detection import CROP, Detection, Detector
from maskcls.errors import UserError, raise_machine_failure
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

# size in pixels of the smallest face that is looked for in a picture whose face is to be cut out
MIN_SIZE = 24
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
            raise_machine_failure(error, cache_dir)
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


def open_finder(faces: FacesConfig, *, cache_dir: Path) -> "FaceFinder | None":
    """Return what finds faces as configured; None if whole pictures are classified. Raises as `find_detector` does."""
    if faces.mode == "none":
        return None
    detector = find_detector(faces.model, cache_dir=cache_dir)
    return FaceFinder(detector, always_crop=faces.mode == "yunet")


class Detections(NamedTuple):
    """All faces of a picture.

    Attributes:
        faces: those that are large enough, each once; the highest score comes first.
        left_out: number of faces that are too small.
    """

    faces: list[Detection]
    left_out: int


class FaceFinder:
    """Finds faces in pictures. Threads may share a finder.

    Args:
        model: the detector's file.
        always_crop: cut out the face even if it fills the picture.
        key: the key that names the file, for messages.

    Raises:
        UserError: OpenCV cannot read the file as a detector.
    """

    def __init__(self, model: Path, *, always_crop: bool, key: str = "faces.model") -> None:
        self.detector = Detector(model, key=key)
        self.always_crop = always_crop

    def detect_all(self, image: np.ndarray, *, min_size: int) -> Detections:
        """Detect all faces in an RGB image, uint8 [height, width, 3].

        Args:
            min_size: size in pixels, of the longer side of its box, from which a face counts; at least 1.
        """
        found = self.detector.detect_all(image, min_size)
        faces = [face for face in found if face.size >= min_size]
        return Detections(faces, len(found) - len(faces))

    def detect(self, image: np.ndarray) -> Detection | None:
        """Detect the face with the highest score in an RGB image, uint8 [height, width, 3], whatever its size."""
        found = self.detector.detect_all(image, MIN_SIZE)
        return found[0] if found else None

    def find(self, image: np.ndarray) -> Face:
        """Find the face with the highest score in an RGB image, uint8 [height, width, 3]."""
        height, width = image.shape[:2]
        detection = self.detect(image)
        return Face("none") if detection is None else self.crop_of(detection, width=width, height=height)

    def crop_of(self, detection: Detection, *, width: int, height: int) -> Face:
        """Return what a classifier gets to see of a face in a picture of this size."""
        side = MARGIN * detection.size
        if not self.always_crop and side >= ALREADY_CUT_OUT * max(height, width):
            return Face("fills")
        return Face("found", square_around(detection.centre, side, width=width, height=height))


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
    message = "faces found in %d of %d pictures%s; the other %d are classified whole"
    log.info(message, len(findings) - none, len(findings), crops, none)


def find_landmarks(root: Path, paths: Sequence[str], finder: FaceFinder, threads: int) -> np.ndarray:
    """Find the landmarks of the face in each image file below ``root``; the images are face crops.

    Returns:
        float64 [files, 5, 2] as in `Detection`, NaN where no face is found.
    """
    nothing = np.full((5, 2), np.nan)

    def find(path: str) -> np.ndarray:
        try:
            detections = finder.detector.detect(decode_image(root / path), CROP)
        except UnreadableImageError:
            return nothing
        return detections[0].landmarks if detections else nothing

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
