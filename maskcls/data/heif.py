"""HEIC and AVIF images, which state their orientation in the container rather than in the EXIF data alone."""

import io
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

# a property of the container that turns or mirrors a picture
_TURNED = re.compile(rb"\0\0\0\x09(?:irot[\x01-\x03]|imir)", re.DOTALL)


def decode_heif(content: bytes, kind: str, max_pixels: float) -> np.ndarray:
    """Decode a HEIC or AVIF image, upright: the first picture, or the one that the file calls its main one.

    The container's rotation and mirroring count. The EXIF orientation of a HEIC counts where the container has neither.
    That of an AVIF never does, as the format's standard says.

    Args:
        kind: HEIC or AVIF.
        max_pixels: a file that claims more pixels is refused.

    Returns:
        uint8 [height, width, 3].

    Raises:
        ValueError: the file cannot be decoded; the message is the reason.
    """
    from PIL import features

    if kind == "HEIC" and find_spec("pillow_heif") is None:
        raise ValueError("a HEIC image: reading it needs pip install 'maskcls[heif]'")
    if kind == "AVIF" and not features.check("avif"):
        raise ValueError("an AVIF image: reading it needs pip install --upgrade pillow")
    try:
        return _upright(content, kind, max_pixels)
    except (_TooLargeError, MemoryError):
        raise
    except Exception as error:  # the libraries raise errors of many kinds for a damaged file
        raise ValueError(f"a damaged {kind} image: {' '.join(str(error).split()):.200}") from None


class _TooLargeError(ValueError):
    pass


def _upright(content: bytes, kind: str, max_pixels: float) -> np.ndarray:
    from PIL import Image, ImageOps

    if kind == "AVIF":
        with Image.open(io.BytesIO(content), formats=["AVIF"]) as image:
            _require_size(image.size, max_pixels)
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    import pillow_heif

    heif = pillow_heif.open_heif(content)
    _require_size(heif.size, max_pixels)
    exif = heif.info.get("exif")
    upright: Image.Image = heif.to_pillow()  # turned as the container says
    upright.info.pop("exif", None)
    orientation = _exif_orientation(exif) if exif and not _TURNED.search(content) else 1
    return np.array(_turned(upright, orientation).convert("RGB"))


def _require_size(size: tuple[int, int], max_pixels: float) -> None:
    if size[0] * size[1] > max_pixels:
        raise _TooLargeError(f"claims more pixels than the {max_pixels:,.0f} that OPENCV_IO_MAX_IMAGE_PIXELS allows")


def _exif_orientation(exif: bytes) -> int:
    from PIL import ExifTags, Image

    tags = Image.Exif()
    tags.load(exif)
    return tags.get(ExifTags.Base.Orientation, 1)


def _turned(image: "Image", orientation: int) -> "Image":
    from PIL import ExifTags, ImageOps

    image.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(image)
