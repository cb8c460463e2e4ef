"""The one place that reads pixels: from a file to the square RGB image that a model sees."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.nn import functional

from maskcls.errors import MACHINE_ERRORS, UserError

# of a file: no picture of as many pixels as are allowed has more
MAX_BYTES = 2**30
# a message of OpenCV's for each broken file would bury ours
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class UnreadableImageError(Exception):
    """A file is not an image that OpenCV can read. The message says which, and why."""


class UnreadableFilesError(UserError):
    """Some files of a data set are not images that OpenCV can read.

    Attributes:
        faults: which, and why, by path as it was given.
    """

    def __init__(self, faults: Mapping[str, str], count: int) -> None:
        shown = "; ".join([*faults.values()][:3]) + ("; ..." if len(faults) > 3 else "")
        super().__init__(f"{len(faults)} of {count} image files cannot be read, repair or remove them: {shown}")
        self.faults = dict(faults)


def decode_image(path: Path) -> np.ndarray:
    """Read an image file as RGB.

    Grey and palette images become RGB, 16-bit ones are scaled to 8, an alpha channel is dropped as PIL's
    ``convert("RGB")`` does (a TIFF's is blended with black), and the EXIF orientation is applied.

    Returns:
        uint8 [height, width, 3].

    Raises:
        UnreadableImageError: for a file that is missing, empty or not an image.
    """
    return decode_bytes(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """The content of an image file. Raises as `decode_image` does for one that is missing, empty, or none at all."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # to read from a pipe can take for ever
            raise UnreadableImageError(f"{path}: not a file")
        if state.st_size > MAX_BYTES:
            raise UnreadableImageError(f"{path}: of {state.st_size:,} bytes, more than {MAX_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise UnreadableImageError(f"{path}: {error.strerror}") from None
    if not content:
        raise UnreadableImageError(f"{path}: the file is empty")
    return content


def decode_bytes(content: bytes, path: Path) -> np.ndarray:
    """The image that the content of a file is, as `decode_image` returns it; ``path`` is for the message."""
    try:
        # not cv2.imread: on Windows it cannot open paths outside the code page
        image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in error.err:
            limit = os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]  # OpenCV takes 200MB, too
            shown = f"{int(limit):,}" if limit.isdecimal() else limit
            raise UnreadableImageError(
                f"{path}: claims more pixels than the {shown} that OPENCV_IO_MAX_IMAGE_PIXELS allows"
            ) from None
        raise UnreadableImageError(f"{path}: {error.err}") from None
    except MemoryError:
        raise UnreadableImageError(f"{path}: too large for the memory") from None
    if image is None:
        raise UnreadableImageError(f"{path}: not an image, or a damaged one")
    return image


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """Resize to a square by antialiased bilinear interpolation, the same as PIL's to within rounding.

    Args:
        image: uint8 [height, width, 3].
        size: pixels a side; the aspect ratio is not kept, as in the study.

    Returns:
        uint8 [size, size, 3].
    """
    # OpenCV's bilinear resize does not antialias
    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    resized = functional.interpolate(batch, size=(size, size), mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


class Box(NamedTuple):
    """A square in an image, in pixels."""

    left: int
    top: int
    side: int

    def cut_out(self, image: np.ndarray) -> np.ndarray:
        """What is inside: uint8 [side, side, 3]."""
        return image[self.top : self.top + self.side, self.left : self.left + self.side]


def read_image(path: Path, size: int, through: int | None = None, box: Box | None = None) -> np.ndarray:
    """Decode and resize an image file.

    Args:
        size: pixels a side.
        through: pixels a side that it is brought to first, so that no image is sharper than others; None for none.
        box: what is cut out of it before; None for the whole.

    Returns:
        uint8 [size, size, 3].

    Raises:
        UnreadableImageError: as `decode_image` does.
    """
    return prepare_image(decode_image(path), size, through, box)


def prepare_image(image: np.ndarray, size: int, through: int | None = None, box: Box | None = None) -> np.ndarray:
    """Cut out, if asked to, and resize an image that was read; as `read_image` does."""
    if box is not None:
        image = np.ascontiguousarray(box.cut_out(image))
    return resize_image(image if through is None else resize_image(image, through), size)
