"""Image files whose end is missing: found by walking through the file, and completed so far that they can be decoded.

The last bytes of a file do not tell. A motion photograph has a film behind the end of its picture, and other programs
append a line break, zeros or an archive.
"""

import re
import struct
import zlib

from maskcls.data.depth import read_tiff

# a marker that is not part of a JPEG's compressed data: no escaped byte, no fill byte, no restart
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
_JPEG_WITHOUT_LENGTH = (0x01, 0xD8)
# first column and row, and distance of columns and rows, of each pass of an interlaced PNG
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# chunks of a PNG that say it is an animation
_PNG_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
# a picture of which a smaller share is left is none; it also keeps small files from becoming large ones
_MIN_SHARE = 0.01


def is_cut_off(content: bytes, kind: str) -> bool:
    """Tell whether the end of an image file is missing.

    Args:
        content: the whole file.
        kind: as `maskcls.data.formats.format_of` names it; for formats without a rule the answer is no.
    """
    match kind:
        case "JPEG":
            return not content.endswith(b"\xff\xd9") and _jpeg_end(content) is not None
        case "PNG":
            return not content.endswith(b"IEND\xaeB`\x82") and not _png_chunks(content)[1]
        case "GIF":
            return not _gif_end(content)[1]
        case "WEBP":
            return len(content) < int.from_bytes(content[4:8], "little") + 8
        case "BMP":
            return len(content) < _bmp_size(content)
        case _:
            return False


def completed(content: bytes, kind: str) -> bytes | None:
    """Complete a file that `is_cut_off`, so that what is left of the picture can be decoded.

    The rest of a JPEG becomes grey, as viewers show it, that of a PNG or a BMP black. A GIF gets its first frame.

    Returns:
        A file that lacks nothing; None where next to nothing of the picture is left, or the format cannot be completed.
    """
    match kind:
        case "JPEG":
            end = _jpeg_end(content)
            return content[:end] + b"\xff\xd9" if end else None
        case "PNG":
            return _completed_png(content)
        case "GIF":
            end = _gif_end(content)[0]
            return content[:end] + b";" if end else None
        case "BMP":
            size, start = _bmp_size(content), int.from_bytes(content[10:14], "little")
            return content.ljust(size, b"\0") if len(content) - start >= _MIN_SHARE * (size - start) else None
        case _:
            return None


def has_more(content: bytes, kind: str) -> bool:
    """Tell whether an image file holds more than one picture to look at: an animation, or a TIFF of several pages."""
    match kind:
        case "GIF":
            return _gif_end(content)[2] > 1
        case "PNG":  # the chunk stands before the pixels
            return content.find(b"acTL", 33, 4096) > 0
        case "WEBP":
            return content[12:16] == b"VP8X" and bool(content[20] & 2)
        case "AVIF":
            return content[8:12] == b"avis"
        case "TIFF":
            return read_tiff(content).has_more_pages
        case _:
            return False


def _jpeg_end(content: bytes) -> int | None:
    """Return where the usable part of a cut-off JPEG ends, 0 if it has no pixels; None if the JPEG is whole."""
    position, has_scan = 2, False
    while found := _JPEG_MARKER.search(content, position):
        code, position = content[found.end() - 1], found.end()
        if code == _JPEG_END:
            return None
        if code not in _JPEG_WITHOUT_LENGTH:
            position += int.from_bytes(content[position : position + 2], "big")
            if position >= len(content):
                return found.start() if has_scan else 0
        has_scan |= code == _JPEG_SCAN
    return len(content) if has_scan else 0


def _png_chunks(content: bytes) -> tuple[list[tuple[bytes, bytes]], bool]:
    """Return the types and contents of a PNG's chunks, the last of which may be cut off, and whether the end is there.

    The contents are not copied if the end is there.
    """
    places, position = [], 8
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == b"IEND" and position + 12 <= len(content):
            return [], True
        places.append((kind, position + 8, position + 8 + length))
        position += 12 + length
    return [(kind, content[start:end]) for kind, start, end in places], False


def _completed_png(content: bytes) -> bytes | None:
    chunks, _ = _png_chunks(content)
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        return None
    sizes = _png_row_sizes(chunks[0][1])
    expected = sum(size * rows for size, rows in sizes)
    try:
        pixels = zlib.decompressobj().decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"), expected)
    except zlib.error:
        return None
    row = sizes[0][0] if sizes else 0
    if not row or len(pixels) < max(row, _MIN_SHARE * expected):
        return None
    if len(sizes) == 1:  # a part of a row would be continued with wrong colours
        pixels = pixels[: len(pixels) // row * row]
    before = [kind for kind, _ in chunks].index(b"IDAT")
    kept = [chunk for chunk in chunks[:before] if chunk[0] not in _PNG_ANIMATION]
    rest = [(b"IDAT", zlib.compress(pixels.ljust(expected, b"\0"), 1)), (b"IEND", b"")]
    return content[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*kept, *rest)
    )


def _png_row_sizes(header: bytes) -> list[tuple[int, int]]:
    """Return the bytes of a row and the number of rows, for each pass that has pixels; one pass if not interlaced."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = []
    for column, row, columns_apart, rows_apart in passes:
        columns, rows = -(-(width - column) // columns_apart), -(-(height - row) // rows_apart)
        if columns > 0 and rows > 0:
            sizes.append((-(-columns * _PNG_CHANNELS.get(colour, 4) * depth // 8) + 1, rows))
    return sizes


def _gif_end(content: bytes) -> tuple[int, bool, int]:
    """Return where the first frame of a GIF ends, 0 if it is not whole; whether the GIF's end is there; the frames."""
    position, first, frames = 13 + _gif_palette(content, 10), 0, 0
    while position < len(content):
        kind = content[position]
        if kind == 0x3B:
            return first, True, frames
        if kind == 0x21:
            position += 2
        elif kind == 0x2C:
            position += 11 + _gif_palette(content, position + 9)
            frames += 1
        else:
            break
        while position < len(content) and content[position]:
            position += 1 + content[position]
        position += 1
        if kind == 0x2C and not first and position <= len(content):
            first = position
    return first, False, frames


def _gif_palette(content: bytes, position: int) -> int:
    """Return the bytes of the palette that the flags at a position announce."""
    flags = content[position] if position < len(content) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _bmp_size(content: bytes) -> int:
    """Return how many bytes an uncompressed BMP must have; 0 for compressed ones and for headers that are cut off."""
    if len(content) < 34:
        return 0
    start, header, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", content, 10)
    if header < 40 or compression not in (0, 3):
        return 0
    return start + (abs(width) * bits + 31) // 32 * 4 * abs(height)
