"""How bright white is in an image file: cameras and scanners store 10, 12 or 14 bits in samples of 16."""

import re
import struct
from typing import NamedTuple

# numbers of TIFF tags, see https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
_SUBFILE, _BITS, _MAX_SAMPLE, _SAMPLE_FORMAT, _SIGNED_MAX_SAMPLE, _DNG_VERSION = 254, 258, 281, 339, 341, 50706
_TAGS = (_SUBFILE, _BITS, _MAX_SAMPLE, _SAMPLE_FORMAT, _SIGNED_MAX_SAMPLE, _DNG_VERSION)
# how the values of a tag's types are read
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_PNM_HEADER = re.compile(rb"P([2356])" + rb"(?:\s|#[^\r\n]*[\r\n])+([0-9]+)" * 3)


class Tiff(NamedTuple):
    """What the first directory of a TIFF says about its samples.

    Attributes:
        bits: bits a sample.
        maximum: largest sample, None if the file does not say it.
        is_float: whether the samples are floating-point numbers.
        is_thumbnail: whether the first image is a reduced one, as in the raw files of cameras.
        has_more_pages: whether another image follows.
    """

    bits: int = 8
    maximum: int | None = None
    is_float: bool = False
    is_thumbnail: bool = False
    has_more_pages: bool = False


def white_of(content: bytes, kind: str) -> int | None:
    """Return the sample that means white, where a file says it and OpenCV does not heed it; None otherwise.

    The number refers to what OpenCV reads with ``IMREAD_ANYDEPTH``, uint8 or uint16.
    """
    match kind:
        case "PNG" if content[24:25] == b"\x10":
            bits = _significant_bits(content)
            return 2**bits - 1 if bits and bits < 16 else None
        case "TIFF":
            tiff = read_tiff(content)
            white = white_of_tiff(tiff.bits, tiff.maximum)
            # OpenCV moves packed samples to the upper bits of 16
            return white << 16 - tiff.bits if white and tiff.bits < 16 else white
        case "PNM" if (header := _PNM_HEADER.match(content)) is not None:
            white = int(header[4])
            # OpenCV heeds it in text files of 8 bits
            return None if white == 255 or white >= 65535 or (header[1] in b"23" and white < 256) else white
    return None


def has_16_bits(content: bytes, kind: str) -> bool:
    """Whether an image file has samples of 16 bits that OpenCV divides by 256, because no other depth is stated."""
    match kind:
        case "PNG":
            return content[24:25] == b"\x10" and white_of(content, kind) is None
        case "TIFF":
            return read_tiff(content).bits == 16 and white_of(content, kind) is None
        case "PNM":
            header = _PNM_HEADER.match(content)
            return header is not None and int(header[4]) == 65535
    return False


def white_of_tiff(bits: int, maximum: int | None) -> int | None:
    """Return the sample that means white in a TIFF of 10 to 16 bits, None for the largest number of 16 bits.

    Args:
        bits: bits a sample, as the file says it.
        maximum: largest sample, None if the file does not say it. That of the picture may be a little below white.
    """
    if bits in (10, 12, 14):
        return int(2**bits - 1)
    if bits == 16 and maximum and maximum < 2**15:
        return int(2 ** maximum.bit_length() - 1)
    return None


def _significant_bits(content: bytes) -> int:
    """Return the largest number in a PNG's sBIT chunk, 0 without one."""
    position = 8
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == b"sBIT":
            return max(content[position + 8 : position + 8 + min(length, 4)], default=0)
        if kind in (b"PLTE", b"IDAT"):
            break
        position += 12 + length
    return 0


def read_tiff(content: bytes) -> Tiff:
    """Read the first directory of a TIFF or BigTIFF; what is damaged counts as not said."""
    order, is_big = "<" if content[:2] == b"II" else ">", 43 in content[2:4]
    number, entry, inline = ("Q", 20, 8) if is_big else ("I", 12, 4)
    try:
        (start,) = struct.unpack_from(order + number, content, 8 if is_big else 4)
        (count,) = struct.unpack_from(order + ("Q" if is_big else "H"), content, start)
        start += 8 if is_big else 2
        found: dict[int, int] = {}
        end = start + min(count, 1000) * entry
        for position in range(start, end, entry):
            tag, kind = struct.unpack_from(f"{order}HH", content, position)
            if tag in _TAGS and kind in _TYPES:
                (values,) = struct.unpack_from(order + number, content, position + 4)
                place = position + entry - inline
                if values * struct.calcsize(_TYPES[kind]) > inline:
                    (place,) = struct.unpack_from(order + number, content, place)
                (found[tag],) = struct.unpack_from(order + _TYPES[kind], content, place)
        (following,) = struct.unpack_from(order + number, content, end)
    except struct.error:
        return Tiff()
    return Tiff(
        bits=found.get(_BITS, 1),
        maximum=found.get(_MAX_SAMPLE) or found.get(_SIGNED_MAX_SAMPLE),
        is_float=found.get(_SAMPLE_FORMAT) == 3,
        is_thumbnail=bool(found.get(_SUBFILE, 0) & 1) or _DNG_VERSION in found,
        has_more_pages=following != 0,
    )
