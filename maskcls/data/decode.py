"""The one place where image files are decoded, and where images are cut out and resized for a model."""

import math
import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from maskcls.config.types import Resize
from maskcls.data.decoder_messages import listening
from maskcls.data.depth import has_16_bits, read_tiff, white_of
from maskcls.data.formats import HEAD_BYTES, described, format_of
from maskcls.data.heif import decode_heif
from maskcls.data.resize import resized
from maskcls.data.truncation import completed, has_more, is_cut_off
from maskcls.errors import UserError, raise_machine_failure

# largest file that is read: 100 million pixels, the default limit, take 800 MB as uncompressed 16-bit RGBA
MAX_BYTES = 2**30
CUT_OFF = "cut off: its end is missing"
TWELVE_BITS = 4095
_CONVERT = "convert it to JPEG or PNG"
# colour of the border with which ``data.resize=pad`` makes an image square: the same grey for all images, near the
# middle of what a network sees
BORDER = 128
# OpenCV would write a message of its own for every broken file. OpenCV 4 has the function in another place; 0 is silent
getattr(cv2.utils, "logging", cv2).setLogLevel(0)


class UnreadableImageError(Exception):
    """A file cannot be read as an image. The message names the file and the reason."""


class UnreadableFilesError(UserError):
    """Some files of a data set cannot be read as images, or only in part.

    Attributes:
        faults: the reason for each file, by its path as it was given.
        damaged: those of them that can be decoded in part.
    """

    def __init__(self, faults: Mapping[str, str], count: int, damaged: Collection[str] = ()) -> None:
        shown = "; ".join([*faults.values()][:3]) + ("; ..." if len(faults) > 3 else "")
        what, ways = "cannot be read", "data.on_bad_image=skip leaves them out"
        if damaged:
            is_all = len(damaged) == len(faults)
            what = (
                f"{'is' if len(faults) == 1 else 'are'} damaged" if is_all else f"{what} ({len(damaged)} only in part)"
            )
            ways += ", use takes what is left of damaged ones"
        super().__init__(f"{len(faults)} of {count} image files {what}; repair or remove them, or {ways}: {shown}")
        self.faults, self.damaged = dict(faults), frozenset(damaged)


class Decoded(NamedTuple):
    """An image file's content.

    Attributes:
        image: RGB, uint8 [height, width, 3].
        damage: what is wrong with a file of which only a part could be decoded; None for a whole one.
        remark: what a reader of the log should know about a whole file; empty for an ordinary one.
    """

    image: np.ndarray
    damage: str | None = None
    remark: str = ""


def decode_image(path: Path) -> np.ndarray:
    """Read an image file as RGB; of a damaged file, what is left of it.

    The content decides, not the name. Grey and palette images become RGB, and more than 8 bits a channel are scaled to
    8, by the depth that the file states. An alpha channel is dropped, as PIL's ``convert("RGB")`` does; that of a TIFF
    is blended with black. The orientation is applied. The first frame or page is taken.

    Returns:
        uint8 [height, width, 3].

    Raises:
        UnreadableImageError: the file is missing, empty, too large, not a regular file or not an image.
    """
    return decode_file(path).image


def decode_file(path: Path) -> Decoded:
    """Read an image file as `decode_image` does, and say whether it is damaged."""
    return decode_content(read_bytes(path), path)


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
        raise_machine_failure(error, path)
        raise UnreadableImageError(f"{path}: {error.strerror}") from None
    if not content:
        raise UnreadableImageError(f"{path}: the file is empty")
    return content


def decode_content(content: bytes, path: Path) -> Decoded:
    """Decode the content of an image file, as `decode_file` does; ``path`` is used in error messages only."""
    kind = format_of(content[:HEAD_BYTES])
    if kind is None or (kind == "TIFF" and read_tiff(content).is_thumbnail):
        raise UnreadableImageError(f"{path}: {_not_an_image(content[:HEAD_BYTES])}")
    is_damaged = is_cut_off(content, kind)
    if is_damaged:
        content = completed(content, kind) or b""
    try:
        image, printed = listening(_decode, content, kind) if content else (None, "")
    except cv2.error as error:
        raise UnreadableImageError(f"{path}: {_refusal(error, kind)}") from None
    except ValueError as error:
        raise UnreadableImageError(f"{path}: {error}") from None
    except MemoryError:
        raise UnreadableImageError(f"{path}: not enough memory to decode it") from None
    if image is None:
        raise UnreadableImageError(f"{path}: {CUT_OFF if is_damaged else _undecoded(content, kind, printed)}")
    if is_damaged:
        if image.min() == image.max():  # nothing but filling
            raise UnreadableImageError(f"{path}: {CUT_OFF}")
        return Decoded(image, CUT_OFF)
    return Decoded(image, remark=f"the decoder says: {printed}" if printed else _remark(content, kind, image))


def _remark(content: bytes, kind: str, image: np.ndarray) -> str:
    """Say what is odd about a file that was decoded without a word; empty for an ordinary one."""
    if has_more(content, kind):
        return "an animation or several pages, of which the first is used"
    # OpenCV cuts what is below 8 bits off, but rounds in colour TIFFs: the samples themselves decide
    if 0 < image.max() <= -(-TWELVE_BITS // 256) and has_16_bits(content, kind):
        samples = _samples(content)
        if samples is not None and samples.max() <= TWELVE_BITS:
            return "samples of sixteen bits whose values fit in twelve: nearly black unless multiplied by sixteen"
    return ""


def _decode(content: bytes, kind: str) -> np.ndarray | None:
    if kind in ("HEIC", "AVIF"):
        return decode_heif(content, kind, _max_pixels())
    white = white_of(content, kind)
    if white is None:
        # cv2.imread cannot open every path on Windows
        return cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    image = _samples(content)
    return None if image is None else scaled_to_8_bits(image, white, may_be_shifted=kind == "PNG")


def _samples(content: bytes) -> np.ndarray | None:
    """Decode an image to RGB in its own depth; None if it cannot be decoded."""
    # OpenCV 5.0 returns memory that it has not filled if it is asked for 16-bit colour TIFFs as RGB
    image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR_BGR | cv2.IMREAD_ANYDEPTH)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def scaled_to_8_bits(values: np.ndarray, white: int, *, may_be_shifted: bool = False) -> np.ndarray:
    """Scale samples of any depth to 8 bits.

    Args:
        values: unsigned integers.
        white: the value that becomes 255, as a file states it; not heeded where samples are larger.
        may_be_shifted: do not heed it either where the samples are in the upper bits, so that the lower ones are zero.
    """
    bits = values.dtype.itemsize * 8
    unused = (1 << max(0, bits - white.bit_length())) - 1
    if values.max() > white or (may_be_shifted and not (values & unused).any()):
        white = 2**bits - 1
    return (values * np.float32(255 / white)).round().astype(np.uint8)


def _max_pixels() -> float:
    limit = os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]  # may be written as "200MB"
    return int(limit) if limit.isdecimal() else math.inf


def _refusal(error: cv2.error, kind: str) -> str:
    if "CV_IO_MAX_IMAGE" not in error.err:
        return f"a damaged {kind} image: {error.err}"
    limit = os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]
    shown = f"{int(limit):,}" if limit.isdecimal() else limit
    return f"claims more pixels than the {shown} that OPENCV_IO_MAX_IMAGE_PIXELS allows"


def _not_an_image(head: bytes) -> str:
    """Say what a file is that is no image, and what to do about it."""
    what = described(head)
    if what == "a TIFF image":  # NEF, ARW and DNG files begin with a thumbnail
        what = "a camera's raw photograph"
    if what == "a Git LFS pointer":
        return f"{what}, not an image; git lfs pull fetches the image"
    if what.endswith(" film"):
        return f"{what}, which maskcls does not read; extract its frames as JPEG or PNG"
    if what.endswith((" image", " photograph", " floats")):
        return f"{what}, which maskcls does not read; {_CONVERT}"
    return f"{what}, not an image"


def _undecoded(content: bytes, kind: str, printed: str) -> str:
    """Say why OpenCV does not decode a file that begins like an image."""
    if kind == "TIFF":
        tiff = read_tiff(content)
        if tiff.is_float:
            return f"a TIFF image of {tiff.bits}-bit floats, whose white is not known; save it with 8 or 16 bits"
    return f"a damaged {kind} image{f': {printed}' if printed else ''}"


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """Resize to a square by antialiased bilinear interpolation, equal to PIL's to within rounding.

    Args:
        image: uint8 [height, width, 3].
        size: pixels a side of the result; the aspect ratio is not kept, as in the study.

    Returns:
        uint8 [size, size, 3].
    """
    return resized(image, size, size)


class Box(NamedTuple):
    """A square in an image, in pixels."""

    left: int
    top: int
    side: int

    def cut_out(self, image: np.ndarray) -> np.ndarray:
        """Return the square of an image [height, width, 3] as a view, uint8 [side, side, 3]."""
        return image[self.top : self.top + self.side, self.left : self.left + self.side]


def square_image(image: np.ndarray, size: int, resize: Resize) -> np.ndarray:
    """Make an image of any shape a square.

    Args:
        image: RGB, uint8 [height, width, 3].
        size: pixels a side of the result.
        resize: ``squeeze`` the image into the square; ``crop`` its middle; or ``pad`` the whole of it with a grey
            border above and below, or left and right.

    Returns:
        uint8 [size, size, 3].
    """
    height, width = image.shape[:2]
    if resize == "squeeze" or height == width:
        return resize_image(image, size)
    if resize == "crop":
        side = min(height, width)
        middle = Box((width - side) // 2, (height - side) // 2, side).cut_out(image)
        return resize_image(np.ascontiguousarray(middle), size)
    rows, columns = (max(1, round(size * length / max(height, width))) for length in (height, width))
    square = np.full((size, size, 3), BORDER, dtype=np.uint8)
    top, left = (size - rows) // 2, (size - columns) // 2
    square[top : top + rows, left : left + columns] = resized(image, rows, columns)
    return square


def input_region(height: int, width: int, box: Box | None, resize: Resize) -> tuple[int, int, int, int]:
    """Where in an image the pixels are that `prepare_image` makes its result of.

    Args:
        height, width: of the image, in pixels.
        box: the square that is cut out; None for none.
        resize: as `square_image` takes it.

    Returns:
        Left, top, width and height in pixels. With ``pad`` the region reaches beyond the image.
    """
    if box is not None:
        return box.left, box.top, box.side, box.side
    if resize == "squeeze":
        return 0, 0, width, height
    side = (min if resize == "crop" else max)(height, width)
    return (width - side) // 2, (height - side) // 2, side, side


def prepare_image(
    image: np.ndarray,
    size: int,
    *,
    equalised_size: int | None = None,
    box: Box | None = None,
    resize: Resize = "squeeze",
) -> np.ndarray:
    """Cut a box out of an image, make it a square of ``equalised_size`` and then of ``size``; None leaves out a step.

    Args:
        image: RGB, uint8 [height, width, 3].
        resize: how an image that is no square becomes one, as `square_image` does it.

    Returns:
        uint8 [size, size, 3].
    """
    if box is not None:
        image = np.ascontiguousarray(box.cut_out(image))
    if equalised_size is not None:
        image = square_image(image, equalised_size, resize)
    return square_image(image, size, resize)
