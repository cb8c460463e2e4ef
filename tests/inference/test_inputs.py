"""What people have in Python, as RGB: the same pixels by every route, and a line about what is no image."""

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from images import packed, tiff, write_image

from maskcls.data.decode import decode_image, resize_image
from maskcls.errors import UserError
from maskcls.inference.inputs import as_images, is_path, is_single, read_image

RGB = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
GREY = RGB[..., :1].repeat(3, axis=2)
CHW = torch.from_numpy(RGB).permute(2, 0, 1)
RGBA = np.concatenate((RGB, np.full((6, 5, 1), 128, dtype=np.uint8)), axis=2)
READ_ONLY = RGB.copy()
READ_ONLY.flags.writeable = False
NO_IMAGE = (
    "is not an image: expected a path, a PIL image, an array [height, width, 3], a tensor [3, height, width], "
    "or a list of these"
)
TYPES = "expected uint8, uint16, or floats from 0 to 1"


def refusal(image: object, channels: Any = "rgb") -> str:
    with pytest.raises(UserError) as caught:
        read_image(image, channels)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_read(image: object, expected: np.ndarray, channels: Any = "rgb") -> None:
    found = read_image(image, channels)
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)
    assert resize_image(found, 8).shape == (8, 8, 3)  # torch takes it, and does not warn


@pytest.mark.parametrize(
    "image",
    [
        RGB,
        READ_ONLY,
        np.asfortranarray(RGB),
        np.flip(RGB[::-1], 0),
        np.broadcast_to(RGB, (2, 6, 5, 3))[1],
        RGBA,
        RGB.astype(np.uint16) << 8,
        (RGB.astype(np.uint16) << 8) + 255,
        (RGB.astype(np.uint16) << 8).astype(">u2"),
        RGB / 255,
        (RGB / 255).astype(np.float32),
        (RGB / 255).astype(np.float16),
        (RGB / 255).astype(">f4"),
        RGBA / 255,
        np.ma.masked_array(RGB, RGB > 128),
        PIL.Image.fromarray(RGB),
        PIL.Image.fromarray(RGBA),
        PIL.Image.fromarray(RGB).convert("RGBX"),
        CHW,
        CHW.contiguous(),
        torch.from_numpy(RGBA).permute(2, 0, 1),
        CHW / 255,
        (CHW / 255).double(),
        (CHW / 255).half(),
        (CHW / 255).requires_grad_(),
        torch.from_numpy(RGB.astype(np.uint16) << 8).permute(2, 0, 1),
    ],
    ids=range(26),
)
def test_an_image_is_the_same_by_every_route(image: object) -> None:
    assert_read(image, RGB)


@pytest.mark.parametrize(
    "image",
    [
        RGB[..., 0],
        RGB[..., :1],
        RGB[..., 0] / 255,
        RGB[..., 0].astype(np.uint16) << 8,
        PIL.Image.fromarray(RGB[..., 0]),
        PIL.Image.fromarray(RGB[..., 0]).convert("LA"),
        PIL.Image.fromarray(RGB[..., 0].astype(np.uint16) << 8),
        PIL.Image.fromarray((RGB[..., 0] / 255).astype(np.float32)),
        CHW[0],
        CHW[:1],
        CHW[0] / 255,
    ],
    ids=range(11),
)
def test_a_grey_image_is_the_same_by_every_route(image: object) -> None:
    for channels in ("rgb", "bgr"):
        assert_read(image, GREY, channels)


@pytest.mark.parametrize("image", [RGB, RGBA, RGB / 255, CHW, CHW / 255, torch.from_numpy(RGBA).permute(2, 0, 1)])
def test_bgr_is_turned_round(image: Any) -> None:
    flipped = image.flip(0) if isinstance(image, torch.Tensor) else image[..., ::-1]
    if image.shape.count(4):  # blue, green, red and opacity, as OpenCV orders them
        flipped = torch.cat((flipped[1:], flipped[:1])) if isinstance(image, torch.Tensor) else image[..., [2, 1, 0, 3]]
    assert_read(flipped, RGB, "bgr")


def test_the_order_of_channels_of_files_and_pil_images_is_known(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", RGB)
    for image in (tmp_path / "a.png", PIL.Image.fromarray(RGB)):
        assert_read(image, RGB, "bgr")


def test_rounding_keeps_every_value() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for dtype in (np.float16, np.float32, np.float64):
        assert_read((values / 255).astype(dtype), np.repeat(values[..., None], 3, axis=2))
    coarse = read_image((torch.from_numpy(values) / 255).bfloat16(), "rgb")
    assert np.abs(coarse[..., 0].astype(int) - values).max() <= 1


def test_an_image_is_not_changed() -> None:
    before = RGB.copy()
    read_image(RGB, "bgr")[:] = 0
    read_image(RGB / 255, "rgb")
    assert np.array_equal(RGB, before)


@pytest.mark.parametrize("name", ["a.png", "b.jpg", "c.bmp", "d e.webp", "~name.png", "얼굴.png", "#1=[x].png"])
def test_a_path_is_read_as_maskcls_predict_reads_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(Path(name), RGB)
    expected = decode_image(Path(name))
    assert_read(name, expected)
    assert_read(Path(name), expected)
    assert_read(np.str_(name), expected)
    assert [is_path(image) for image in (name, Path(name), RGB, 5)] == [True, True, False, False]
    (entry,) = [entry for entry in os.scandir() if entry.name == name]
    assert_read(entry, expected)
    monkeypatch.setenv("HOME", str(Path.cwd()))
    assert_read(f"~/{name}", expected)


def pil_of(content: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(content))


def encoded(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_that_a_camera_noted_is_applied(orientation: int, tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    large = np.kron(RGB, np.ones((16, 16, 1), dtype=np.uint8))
    (tmp_path / "a.jpg").write_bytes(encoded(PIL.Image.fromarray(large), "JPEG", exif=exif, quality=100, subsampling=0))
    expected = decode_image(tmp_path / "a.jpg")
    found = read_image(PIL.Image.open(tmp_path / "a.jpg"), "rgb")
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 3  # the two decoders round differently
    assert (found.shape[0] > found.shape[1]) == (orientation < 5)


@pytest.mark.parametrize("transparency", [None, 0, bytes(range(0, 256, 2))])
def test_a_palette_becomes_its_colours(transparency: int | bytes | None) -> None:
    palette = PIL.Image.fromarray(RGB).quantize(16)
    expected = np.array(palette.convert("RGB"))
    options = {} if transparency is None else {"transparency": transparency}
    assert_read(pil_of(encoded(palette, "PNG", **options)), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_every_mode_of_pil_is_read(mode: str) -> None:
    way = {"PA": "P", "RGBa": "RGBA"}.get(mode, mode)  # PIL converts to these in two steps
    image = PIL.Image.new("RGB", (5, 6), (255, 255, 255)).convert(way).convert(mode)
    assert image.mode == mode
    assert_read(image, np.full((6, 5, 3), 255, dtype=np.uint8))


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_16_bits_are_scaled_to_8_as_in_files(mode: str, tmp_path: Path) -> None:
    values = RGB[..., 0].astype(np.uint16) * 257
    image = PIL.Image.frombytes(mode, (5, 6), values.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    assert_read(image, GREY)
    PIL.Image.fromarray(values).save(tmp_path / "a.png")
    assert_read(tmp_path / "a.png", GREY)


def test_what_pil_would_cut_off_is_refused() -> None:
    deep = PIL.Image.fromarray(RGB[..., 0].astype(np.int32) * 256)
    assert refusal(deep).endswith(f"(Image): {TYPES}")
    wide = PIL.Image.fromarray(np.full((4, 4), 200, dtype=np.float32))
    assert refusal(wide).endswith("its values go from 200 to 200; floats must be from 0 to 1")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, f"None (NoneType) {NO_IMAGE}"),
        (5, f"5 (int) {NO_IMAGE}"),
        (2.5, f"2.5 (float) {NO_IMAGE}"),
        (b"\x89PNG", rf"b'\x89PNG' (bytes) {NO_IMAGE}"),
        ({"image": RGB.tolist()}, "{'image': [[["),
        ([1, 2], f"[1, 2] (list) {NO_IMAGE}"),
        (np.float64(3), f"np.float64(3.0) (float64) {NO_IMAGE}"),
        (np.zeros(()), f"ndarray [] of float64 {NO_IMAGE}"),
        (np.zeros(3), f"ndarray [3] of float64 {NO_IMAGE}"),
        (np.zeros((0, 0, 3), np.uint8), f"ndarray [0, 0, 3] of uint8 {NO_IMAGE}"),
        (np.zeros((4, 0), np.uint8), f"ndarray [4, 0] of uint8 {NO_IMAGE}"),
        (np.zeros((4, 4, 2), np.uint8), f"ndarray [4, 4, 2] of uint8 {NO_IMAGE}"),
        (np.zeros((3, 16, 16), np.uint8), f"ndarray [3, 16, 16] of uint8 {NO_IMAGE}"),
        (np.zeros((1, 4, 4, 3), np.uint8), f"ndarray [1, 4, 4, 3] of uint8 {NO_IMAGE}"),
        (np.array("a.png"), f"ndarray [] of <U5 {NO_IMAGE}"),
        (torch.zeros(16, 16, 3), f"Tensor [16, 16, 3] of torch.float32 {NO_IMAGE}"),
        (torch.zeros(3, 0, 4), f"Tensor [3, 0, 4] of torch.float32 {NO_IMAGE}"),
        (torch.zeros(5, 4, 4), f"Tensor [5, 4, 4] of torch.float32 {NO_IMAGE}"),
        (torch.tensor(1), f"Tensor [] of torch.int64 {NO_IMAGE}"),
        (RGB.astype(np.int64), f"ndarray [6, 5, 3] of int64: {TYPES}"),
        (RGB.astype(np.int8), f"ndarray [6, 5, 3] of int8: {TYPES}"),
        (RGB > 128, f"ndarray [6, 5, 3] of bool: {TYPES}"),
        (RGB.astype(complex), f"ndarray [6, 5, 3] of complex128: {TYPES}"),
        (RGB.astype(object), f"ndarray [6, 5, 3] of object: {TYPES}"),
        (CHW.long(), f"Tensor [3, 6, 5] of torch.int64: {TYPES}"),
        (np.linspace(0, 255, 48).reshape(4, 4, 3),
         "ndarray [4, 4, 3] of float64: its values go from 0 to 255; floats must be from 0 to 1"),
        (np.linspace(-1, 1, 48).reshape(4, 4, 3),
         "ndarray [4, 4, 3] of float64: its values go from -1 to 1; floats must be from 0 to 1"),
        (np.linspace(0, 1.001, 48).reshape(4, 4, 3),
         "ndarray [4, 4, 3] of float64: its values go from 0 to 1.001; floats must be from 0 to 1"),
        (np.array([[0.5, np.nan]]), "ndarray [1, 2] of float64: its values go from nan to nan; floats must"),
        (np.array([[0.5, np.inf]]), "ndarray [1, 2] of float64: its values go from 0.5 to inf; floats must"),
        (torch.full((3, 2, 2), torch.nan), "Tensor [3, 2, 2] of torch.float32: its values go from nan to nan; floats"),
        (torch.zeros(3, 4, 5, device="meta"), "Tensor [3, 4, 5] of torch.float32: cannot be read: "),
        (torch.zeros(3, 4, 5).to_sparse(), "Tensor [3, 4, 5] of torch.float32: cannot be read: "),
        ("none.png", "none.png: No such file or directory"),
        (Path("folder/none.png"), "folder/none.png: No such file or directory"),
        ("/", "/: not a regular file"),
        ("", ".: not a regular file"),
        ("n" * 5000, "nnn"),
        ("a\0b.png", r"'a\x00b.png' (str): cannot be read: embedded null byte"),
        ("\ud800.png", r"'\ud800.png' (str): cannot be read: "),
        ("~nobody-of-this-name/a.png", "~nobody-of-this-name/a.png: No such file or directory"),
    ],
    ids=range(41),
)  # fmt: skip
def test_what_is_no_image_is_refused(image: object, message: str) -> None:
    assert refusal(image).startswith(message)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"text", "a text file, not an image"),
        (b"\x89PNG\r\n\x1a\n", "cut off: its end is missing"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(content: bytes, reason: str) -> None:
    Path("a.png").write_bytes(content)
    assert refusal("a.png") == f"a.png: {reason}"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_a_pil_image_that_cannot_be_read_is_refused(kind: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    content = encoded(PIL.Image.fromarray(noise), kind)
    (tmp_path / "half").write_bytes(content[: len(content) // 2])
    with PIL.Image.open(tmp_path / "half") as image:
        assert refusal(image).startswith(f"{tmp_path / 'half'}: cannot be read: ")
    closed = pil_of(content)
    closed.close()
    assert ": cannot be read: " in refusal(closed)


def test_a_mode_that_pil_cannot_convert_is_refused() -> None:
    assert refusal(PIL.Image.new("La", (4, 4))).endswith("cannot be read: conversion from La to L not supported")


@pytest.mark.parametrize(
    "content",
    [
        tiff(np.arange(4096, dtype="<u2").tobytes(), 16, (281, 3, 4095)),
        tiff(packed(np.arange(4096), 12), 12),
        tiff((np.arange(4096, dtype="<u2") * 16).tobytes(), 16),
    ],
    ids=["its largest sample", "packed", "whole"],
)
def test_a_tiff_of_12_bits_is_as_bright_from_pil_as_from_its_file(content: bytes) -> None:
    Path("a.tif").write_bytes(content)
    with PIL.Image.open("a.tif") as image:
        found = read_image(image, "rgb")
    assert found.max() == 255
    assert np.abs(found.astype(int) - read_image("a.tif", "rgb")).max() <= 1


def test_a_damaged_file_is_used_and_a_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    write_image(Path("a.png"), np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    whole = read_image("a.png", "rgb")
    assert not caplog.messages
    Path("a.png").write_bytes(Path("a.png").read_bytes()[:-500])
    found = read_image("a.png", "rgb")
    np.testing.assert_array_equal(found[:30], whole[:30])
    assert caplog.messages == ["a.png: cut off: its end is missing; what is left of it is used"]


def test_a_machine_that_fails_is_no_fault_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("maskcls.inference.inputs.decode_file", fail)
    with pytest.raises(OSError, match="Too many open files"):
        read_image("a.png", "rgb")


@pytest.mark.parametrize("channels", ["grb", "RGB", "", None, 3])
def test_an_order_of_channels_that_there_is_not_is_refused(channels: Any) -> None:
    assert refusal(RGB, channels) == f"channels={channels}: expected rgb or bgr"


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ("a.png", True),
        (Path("a.png"), True),
        (np.str_("a.png"), True),
        (RGB, True),
        (RGB[..., 0], True),
        (CHW, True),
        (np.zeros(3), True),
        (PIL.Image.fromarray(RGB), True),
        (np.array("a.png"), True),
        (RGB[None], False),
        (CHW[None], False),
        (np.zeros((0, 6, 5, 3), np.uint8), False),
        (np.array(["a.png", "b.png"]), False),
        (np.array([Path("a.png")], dtype=object), False),
        (["a.png"], False),
        ((RGB, RGB), False),
        ({"a.png"}, False),
        ([], False),
        (iter([RGB]), False),
        (b"a.png", False),
        (5, False),
        (None, False),
    ],
    ids=range(22),
)
def test_one_image_is_told_from_several(images: object, *, expected: bool) -> None:
    assert is_single(images) is expected


def two() -> Iterator[str]:
    yield from ("a", "b")


@pytest.mark.parametrize(
    "images", [["a", "b"], ("a", "b"), dict.fromkeys("ab").keys(), np.array(["a", "b"]), two(), iter(["a", "b"])]
)
def test_several_images_are_gone_through_in_their_order(images: object) -> None:
    assert list(as_images(images)) == ["a", "b"]


def test_a_batch_is_gone_through_image_by_image() -> None:
    for image in as_images(np.stack((RGB, RGB))):
        assert_read(image, RGB)
    for image in as_images(torch.stack((CHW, CHW))):
        assert_read(image, RGB)


@pytest.mark.parametrize("images", [5, None, b"bytes", bytearray(b"x"), memoryview(b"x"), {"a.png": 1}, {}, object])
def test_what_is_no_list_of_images_is_refused(images: object) -> None:
    with pytest.raises(UserError) as caught:
        as_images(images)
    assert str(caught.value) == f"{images!r:.50} ({type(images).__name__}) {NO_IMAGE}"


def test_bytes_in_a_wider_type_are_refused() -> None:
    with pytest.raises(UserError, match=r"of uint16: its values are at most 255: give 8-bit images as uint8"):
        read_image(np.full((4, 4, 3), 255, dtype=np.uint16), "rgb")
    assert read_image(np.full((4, 4, 3), 256, dtype=np.uint16), "rgb").max() == 1
    assert read_image(np.zeros((4, 4, 3), dtype=np.uint16), "rgb").max() == 0
