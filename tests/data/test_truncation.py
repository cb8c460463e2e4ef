"""Files whose end is missing, and whole files that have something behind their end."""

import io
import struct
import zlib

import numpy as np
import pytest
from images import scene
from PIL import Image

from maskcls.data.truncation import completed, has_more, is_cut_off

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
FILM = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40 + b"\xff\xda\0\x08 and \xff\xe1"


def encoded(kind: str, side: int = 40, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(scene(0, side)).save(stream, kind, **options)
    return stream.getvalue()


def encoded_frames(kind: str, frames: int = 3) -> bytes:
    first, *others = (Image.fromarray(scene(seed, 40)) for seed in range(frames))
    stream = io.BytesIO()
    first.save(stream, kind, save_all=True, append_images=others)
    return stream.getvalue()


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB"))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("behind", [b"", b"\n", bytes(100), b"PK\x03\x04 an archive", FILM, b"\xff"])
def test_a_file_with_something_behind_its_end_is_whole(kind: str, behind: bytes) -> None:
    assert not is_cut_off(encoded(kind) + behind, kind)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("missing", [1, 2, 0.1, 0.5, 0.9])
def test_a_file_without_its_end_is_cut_off(kind: str, missing: float) -> None:
    content = encoded(kind)
    length = missing if isinstance(missing, int) else int(missing * len(content))
    assert is_cut_off(content[: len(content) - int(length)], kind)


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_rows": 1}, {"quality": 100}], ids=str)
def test_markers_within_a_jpeg_are_not_its_end(options: dict[str, object]) -> None:
    content = encoded("JPEG", 160, **options)
    assert not is_cut_off(content + b"\0", "JPEG")
    for end in range(4, len(content) - 1, len(content) // 97):
        assert is_cut_off(content[:end], "JPEG")


def test_the_end_of_a_thumbnail_is_not_that_of_the_jpeg() -> None:
    content, thumbnail = encoded("JPEG", 80), encoded("JPEG", 16)
    length = (len(thumbnail) + 2).to_bytes(2, "big")
    both = content[:2] + b"\xff\xe1" + length + thumbnail + content[2:]
    assert not is_cut_off(both, "JPEG")
    assert is_cut_off(both[:-2], "JPEG")


def test_pictures_of_several_images_are_whole_when_the_first_one_is() -> None:
    content = encoded_frames("MPO")
    assert not is_cut_off(content, "JPEG")
    assert not is_cut_off(content[:-9], "JPEG")


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "JPEG 2000", "AVIF"])
def test_formats_that_cannot_be_completed(kind: str) -> None:
    assert completed(b"RIFF\0\0\0\x09WEBP", kind) is None


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
@pytest.mark.parametrize("missing", [1, 12, 13, 200])
def test_a_png_keeps_its_whole_rows(mode: str, missing: int) -> None:
    stream = io.BytesIO()
    Image.fromarray(scene(0, 160)).convert(mode).save(stream, "PNG")
    content = stream.getvalue()
    left = completed(content[:-missing], "PNG")
    assert left is not None
    assert not is_cut_off(left, "PNG")
    image, whole = pixels(left), pixels(content)
    rows = np.flatnonzero((image != whole).any(axis=(1, 2)))
    assert len(rows) == 0 if missing <= 16 else len(rows) < 40
    assert (image[rows] == image[-1]).all()
    assert list(rows) == list(range(160 - len(rows), 160))


def interlaced(image: np.ndarray) -> bytes:
    """Write an interlaced PNG, see https://www.w3.org/TR/png/#8Interlace."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = [image[row::rows_apart, column::columns_apart] for row, column, rows_apart, columns_apart in starts]
    rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 2, 0, 0, 1)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(("height", "width"), [(37, 53), (3, 5), (1, 1), (8, 8)])
def test_an_interlaced_png_is_completed(height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)
    content = interlaced(image)
    np.testing.assert_array_equal(pixels(content), image)
    left = completed(content[:-1], "PNG")
    assert left is not None
    np.testing.assert_array_equal(pixels(left), image)
    if height > 8:
        left = completed(content[: len(content) * 2 // 3], "PNG")
        assert left is not None
        known = pixels(left) == image
        assert known[::8, ::8].all()
        assert 0.4 < known.mean() < 0.8


def test_small_files_that_claim_to_be_large_are_not_completed() -> None:
    content = bytearray(encoded("PNG"))
    content[16:24] = b"\0\x10\0\0\0\x10\0\0"
    assert completed(bytes(content[:-20]), "PNG") is None
    bitmap = bytearray(encoded("BMP"))
    bitmap[18:26] = b"\0\0\x10\0\0\0\x10\0"
    assert is_cut_off(bytes(bitmap), "BMP")
    assert completed(bytes(bitmap), "BMP") is None


def test_a_gif_without_its_end_gets_its_first_frame() -> None:
    content = encoded_frames("GIF")
    left = completed(content[: len(content) * 2 // 3], "GIF")
    assert left is not None
    np.testing.assert_array_equal(pixels(left), pixels(content))
    assert completed(content[: len(content) // 5], "GIF") is None


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_animation_is_told_from_a_picture(kind: str) -> None:
    assert has_more(encoded_frames(kind), kind)
    assert not has_more(encoded(kind), kind)


@pytest.mark.parametrize("kind", [*FORMATS, "TIFF", "AVIF"])
def test_no_file_is_too_short(kind: str) -> None:
    content = encoded(kind)
    for end in range(60):
        is_cut_off(content[:end], kind)
        completed(content[:end], kind)
        if end > 30:
            has_more(content[:end], kind)
