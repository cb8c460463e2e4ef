"""What people have in Python, brought to RGB arrays of uint8: paths, NumPy arrays, PIL images, tensors."""

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeGuard, Union

import numpy as np

from maskcls.data.decode import UnreadableImageError, decode_file, scaled_to_8_bits
from maskcls.data.depth import white_of_tiff
from maskcls.errors import MACHINE_ERRORS, UserError

if TYPE_CHECKING:
    import PIL.Image
    from torch import Tensor

log = logging.getLogger(__name__)

Image = Union[str, os.PathLike[str], np.ndarray, "Tensor", "PIL.Image.Image"]
Channels = Literal["rgb", "bgr"]


def is_path(image: object) -> TypeGuard[str | os.PathLike[str]]:
    """Whether this is the path of a file."""
    return isinstance(image, str | os.PathLike)


def is_single(images: object) -> TypeGuard[Image]:
    """Whether this is one image, rather than several."""
    if isinstance(images, np.ndarray) or _is_tensor(images):
        # an array of paths, or of images of several sizes, stands for a list
        is_list = isinstance(images, np.ndarray) and images.dtype.kind in "OU"
        return images.ndim < (1 if is_list else 4)
    return is_path(images) or _is_pil(images)


def as_images(images: object) -> Iterator[Image]:
    """Go through several images.

    Raises:
        UserError: if this cannot be gone through.
    """
    if hasattr(images, "read"):  # a file object, which is also an iterable of lines
        raise UserError(f"{_described(images)} is a file object: give PIL.Image.open(it), or its path")
    if not isinstance(images, Iterable) or isinstance(images, Mapping | bytes | bytearray | memoryview):
        raise _not_an_image(images)
    return iter(images)


def read_image(image: object, channels: Channels) -> np.ndarray:
    """Bring one image to RGB.

    Args:
        image: as `Predictor.predict` takes it.
        channels: order of the channels of an array or a tensor; files and PIL images state their own order.

    Returns:
        uint8 [height, width, 3].

    Raises:
        UserError: if a file cannot be read, or this is not an image.
    """
    if channels not in ("rgb", "bgr"):
        raise UserError(f"channels={channels}: expected rgb or bgr")
    try:
        if is_path(image):
            return _read_file(Path(os.path.expanduser(image)))
        if _is_pil(image):
            return _rgb_of_pil(image)
        if _is_tensor(image):
            values = image.detach().cpu()
            # NumPy has no bfloat16
            return _rgb_of((values.double() if values.is_floating_point() else values).numpy(), 0, channels, image)
        if isinstance(image, np.ndarray):
            return _rgb_of(image, 2, channels, image)
    except UnreadableImageError as error:
        raise UserError(str(error)) from None
    # a path that no file can have, a damaged file that PIL opened, a tensor that holds no values
    except (OSError, EOFError, SyntaxError, TypeError, ValueError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
            raise
        raise UserError(f"{_described(image)}: cannot be read: {error}") from None
    raise _not_an_image(image)


def _read_file(path: Path) -> np.ndarray:
    decoded = decode_file(path)
    for note in filter(None, (decoded.damage and f"{decoded.damage}; what is left of it is used", decoded.remark)):
        log.warning("%s: %s", path, note)
    return decoded.image


def _rgb_of_pil(image: "PIL.Image.Image") -> np.ndarray:
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):  # 16 or 32 bits, of which PIL's conversion would cut off large values
        values = np.array(upright)
        white = _white_of_tiff(image)
        return _rgb_of(scaled_to_8_bits(values, white) if white else values, 2, "rgb", image)
    if upright.mode == "P":  # PIL warns of transparency in a palette that becomes RGB
        upright = upright.convert("RGBA")
    return np.array(upright.convert("RGB"))


def _white_of_tiff(image: "PIL.Image.Image") -> int | None:
    """The sample that means white in a TIFF that PIL opened with 16 bits, None for the largest number."""
    tags = getattr(image, "tag_v2", {})
    bits, maximum = tags.get(258, (16,)), tags.get(281, (0,))  # BitsPerSample, MaxSampleValue
    return white_of_tiff(bits[0], maximum[0]) if image.mode.startswith("I;16") else None


def _rgb_of(values: np.ndarray, channel_axis: int, channels: Channels, given: object) -> np.ndarray:
    """An array of any number of channels as RGB of uint8."""
    if values.ndim == 2:
        values = np.expand_dims(values, channel_axis)
    if values.ndim != 3 or 0 in values.shape or values.shape[channel_axis] not in (1, 3, 4):
        raise _not_an_image(given)
    values = np.moveaxis(_as_uint8(values, given), channel_axis, 2)[..., :3]
    if values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    elif channels == "bgr":
        values = values[..., ::-1]
    return np.require(values, requirements=["C", "W"])  # torch warns of arrays that are read-only


def _as_uint8(values: np.ndarray, given: object) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    if (values.dtype.kind, values.dtype.itemsize) == ("u", 2):  # in either byte order
        if 0 < values.max() < 256 and not _is_pil(given):
            raise UserError(f"{_described(given)}: its values are at most {values.max()}: give 8-bit images as uint8")
        return (values >> 8).astype(np.uint8)  # as image files of 16 bits are read
    if np.issubdtype(values.dtype, np.floating):
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):  # nor is NaN
            raise UserError(
                f"{_described(given)}: its values go from {low:.9g} to {high:.9g}; floats must be from 0 to 1"
            )
        return (values * 255).round().astype(np.uint8)
    raise UserError(f"{_described(given)}: expected uint8, uint16, or floats from 0 to 1")


def _is_pil(image: object) -> "TypeGuard[PIL.Image.Image]":
    from PIL import Image

    return isinstance(image, Image.Image)


def _is_tensor(image: object) -> "TypeGuard[Tensor]":
    torch = sys.modules.get("torch")  # who has a tensor has imported torch, which takes a second
    return torch is not None and isinstance(image, torch.Tensor)


def _not_an_image(given: object) -> UserError:
    return UserError(
        f"{_described(given)} is not an image: expected a path, a PIL image, an array [height, width, 3], "
        "a tensor [3, height, width], or a list of these"
    )


def _described(given: object) -> str:
    if isinstance(given, np.ndarray) or _is_tensor(given):
        return f"{type(given).__name__} {list(given.shape)} of {given.dtype}"
    if name := getattr(given, "filename", ""):  # of an image that PIL opened
        return str(name)
    return f"{' '.join(repr(given).split()):.50} ({type(given).__name__})"  # an array's has several lines
