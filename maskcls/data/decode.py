"""The one place where image files are decoded, and where images are cut out and resized for a model."""

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

# largest file that is read: 100 million pixels, the default limit, take 800 MB as uncompressed 16-bit RGBA
MAX_BYTES = 2**30
# OpenCV would write a message of its own for every broken file
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class UnreadableImageError(Exception):
    """OpenCV cannot read a file as an image. The message names the file and the reason."""


class UnreadableFilesError(UserError):
    """OpenCV cannot read some files of a data set as images.

    Attributes:
        faults: the reason for each file, by its path as it was given.
    """

    def __init__(self, faults: Mapping[str, str], count: int) -> None:
        shown = "; ".join([*faults.values()][:3]) + ("; ..." if len(faults) > 3 else "")
        super().__init__(f"{len(faults)} of {count} image files cannot be read, repair or remove them: {shown}")
        self.faults = dict(faults)


def decode_image(path: Path) -> np.ndarray:
    """Read an image file as RGB.

    Grey and palette images become RGB, and 16 bits a channel are scaled to 8. An alpha channel is dropped, as PIL's
    ``convert("RGB")`` does; that of a TIFF is blended with black. The EXIF orientation is applied.

    Returns:
        uint8 [height, width, 3].

    Raises:
        UnreadableImageError: the file is missing, empty, too large, not a regular file or not an image.
    """
    return decode_bytes(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Read the content of an image file; raises UnreadableImageError as `decode_image` does."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # reading from a pipe may never end
            raise UnreadableImageError(f"{path}: not a regular file")
        if state.st_size > MAX_BYTES:
            raise UnreadableImageError(f"{path}: {state.st_size:,} bytes, more than the {MAX_BYTES:,} allowed")
        content = path.read_bytes()
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise UnreadableImageError(f"{path}: {error.strerror}") from None
    if not content:
        raise UnreadableImageError(f"{path}: the file is empty")
    return content


def decode_bytes(content: bytes, path: Path) -> np.ndarray:
    """Decode the content of an image file, as `decode_image` does; ``path`` is used in error messages only."""
    try:
        # cv2.imread cannot open every path on Windows
        image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in error.err:
            limit = os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]  # may be written as "200MB"
            shown = f"{int(limit):,}" if limit.isdecimal() else limit
            raise UnreadableImageError(
                f"{path}: claims more pixels than the {shown} that OPENCV_IO_MAX_IMAGE_PIXELS allows"
            ) from None
        raise UnreadableImageError(f"{path}: {error.err}") from None
    except MemoryError:
        raise UnreadableImageError(f"{path}: not enough memory to decode it") from None
    if image is None:
        raise UnreadableImageError(f"{path}: not an image, or a damaged one")
    return image


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """Resize to a square by antialiased bilinear interpolation, equal to PIL's to within rounding.

    Args:
        image: uint8 [height, width, 3].
        size: pixels a side of the result; the aspect ratio is not kept, as in the study.

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
        """Return the square of an image [height, width, 3] as a view, uint8 [side, side, 3]."""
        return image[self.top : self.top + self.side, self.left : self.left + self.side]


def prepare_image(
    image: np.ndarray, size: int, *, equalised_size: int | None = None, box: Box | None = None
) -> np.ndarray:
    """Cut a box out of an image, resize it to ``equalised_size``, and then to ``size``; None leaves out a step.

    Args:
        image: RGB, uint8 [height, width, 3].

    Returns:
        uint8 [size, size, 3].
    """
    if box is not None:
        image = np.ascontiguousarray(box.cut_out(image))
    return resize_image(image if equalised_size is None else resize_image(image, equalised_size), size)
