import cv2
import numpy as np
import pytest
from images import packed, tiff

from maskcls.data.depth import Tiff, has_16_bits, read_tiff, white_of

PIXELS = bytes(64 * 64)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_big", [False, True])
def test_a_tiff_of_either_byte_order_and_size_is_read(order: str, is_big: bool) -> None:  # noqa: FBT001
    content = tiff(PIXELS * 2, 16, (281, 3, 4000), (254, 4, 1), order=order, is_big=is_big)
    assert read_tiff(content) == Tiff(bits=16, maximum=4000, is_thumbnail=True)
    assert read_tiff(tiff(PIXELS, 8, (339, 3, 3), order=order, is_big=is_big)) == Tiff(bits=8, is_float=True)


@pytest.mark.parametrize("bits", [8, 16])
def test_samples_of_three_channels_are_read_from_where_they_are(bits: int) -> None:
    content = cv2.imencode(".tiff", np.zeros((8, 8, 3), dtype=f"uint{bits}"))[1].tobytes()
    assert read_tiff(content) == Tiff(bits=bits)


def test_pages_behind_the_first_one_are_seen() -> None:
    content = cv2.imencodemulti(".tiff", [np.zeros((8, 8), np.uint8)] * 2)[1].tobytes()
    assert read_tiff(content).has_more_pages


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (cv2.imencode(".png", np.zeros((4, 4), np.uint16))[1].tobytes(), "PNG", True),
        (cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes(), "PNG", False),
        (tiff(bytes(8192), 16), "TIFF", True),
        (tiff(bytes(8192), 16, (281, 3, 4095)), "TIFF", False),
        (tiff(bytes(4096), 8), "TIFF", False),
        (b"P5 4 4 65535\n" + bytes(32), "PNM", True),
        (b"P5 4 4 4095\n" + bytes(32), "PNM", False),
        (b"P5 4 4 255\n" + bytes(16), "PNM", False),
        (b"\xff\xd8", "JPEG", False),
    ],
)
def test_samples_of_16_bits_are_told_from_those_of_a_stated_depth(content: bytes, kind: str, *, expected: bool) -> None:
    assert has_16_bits(content, kind) is expected


def test_a_damaged_tiff_says_nothing() -> None:
    content = tiff(PIXELS, 8, (254, 4, 1))
    assert read_tiff(content[:200]) == read_tiff(b"II*\0") == read_tiff(content[:-5]) == Tiff()


@pytest.mark.parametrize(
    ("content", "kind", "white"),
    [
        (tiff(PIXELS * 2, 16, (281, 3, 4095)), "TIFF", 4095),
        (tiff(PIXELS * 2, 16, (281, 3, 3127)), "TIFF", 4095),  # the largest sample in the picture
        (tiff(PIXELS * 2, 16, (281, 3, 65535)), "TIFF", None),
        (tiff(PIXELS * 2, 16), "TIFF", None),
        (tiff(packed(np.zeros(4096, dtype=int), 12), 12), "TIFF", 65520),
        (tiff(PIXELS, 8), "TIFF", None),
        (b"P5\n2 1\n4095\n", "PNM", 4095),
        (b"P5\n# comment\n2 1\n100\n", "PNM", 100),
        (b"P2\n2 1\n100\n", "PNM", None),
        (b"P6 2 1 255 ", "PNM", None),
        (b"P4\n8 1\n", "PNM", None),
        (cv2.imencode(".png", np.zeros((4, 4), np.uint16))[1].tobytes(), "PNG", None),
        (b"\xff\xd8\xff", "JPEG", None),
    ],
)
def test_white_is_what_the_file_says(content: bytes, kind: str, white: int | None) -> None:
    assert white_of(content, kind) == white
