import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from images import write_image
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from maskcls.data.cache import cached_images
from maskcls.data.decode import (
    MAX_BYTES,
    Box,
    UnreadableFilesError,
    UnreadableImageError,
    decode_image,
    prepare_image,
    resize_image,
)
from maskcls.data.image_files import ImageFiles

ALPHA = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)
EXIF_ORIENTATION = 0x0112


def smooth_image(height: int, width: int) -> np.ndarray:
    """Draw RGB uint8 without symmetry and with three different channels, smooth enough for JPEG."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    return np.stack((255 * y, 120 + 100 * x * y, 255 * (1 - x) ** 2), axis=-1).astype(np.uint8)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def differences(image: np.ndarray, other: np.ndarray) -> np.ndarray:
    assert image.shape == other.shape
    return np.abs(image.astype(int) - other)


def resized_by_pil(path: Path, size: int) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def png(width: int, height: int, body: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif", "gif"])
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255)])
def test_channels_are_red_green_blue(tmp_path: Path, suffix: str, colour: tuple[int, int, int]) -> None:
    path = tmp_path / f"1.{suffix}"
    Image.new("RGB", (16, 8), colour).save(path)
    image = decode_image(path)
    assert image.shape == (8, 16, 3)
    assert image.dtype == np.uint8
    # JPEG and WebP are lossy
    assert differences(image, np.full((8, 16, 3), colour)).max() <= 3


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_lossless_formats_give_pils_pixels(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"1.{suffix}"
    image = Image.fromarray(noise(20, 30)).convert(mode)
    image.save(path)
    np.testing.assert_array_equal(decode_image(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_gif(tmp_path: Path, mode: str) -> None:
    Image.fromarray(smooth_image(20, 30)).convert(mode).save(tmp_path / "1.gif")
    with Image.open(tmp_path / "1.gif") as image:
        np.testing.assert_array_equal(decode_image(tmp_path / "1.gif"), np.asarray(image.convert("RGB")))


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "1.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_image(tmp_path / "1.gif"), np.asarray(frames[0]))


def test_lossless_webp(tmp_path: Path) -> None:
    Image.fromarray(noise(20, 30)).save(tmp_path / "1.webp", lossless=True)
    np.testing.assert_array_equal(decode_image(tmp_path / "1.webp"), noise(20, 30))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
def test_jpeg_is_within_rounding_of_pils(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    path = tmp_path / "1.jpg"
    Image.fromarray(smooth_image(40, 60)).convert(mode).save(path, quality=90, **options)
    with Image.open(path) as image:
        assert differences(decode_image(path), np.asarray(image.convert("RGB"))).max() <= 2


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    Image.fromarray(smooth_image(40, 60)).convert("CMYK").save(path, quality=95)
    with Image.open(path) as image:
        assert differences(decode_image(path), np.asarray(image.convert("RGB"))).max() <= 3


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)], ids=["grey", "RGB"])
def test_16_bit_png_is_scaled(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)
    encoded, content = cv2.imencode(".png", values[..., ::-1] if len(shape) == 3 else values)
    assert encoded
    (tmp_path / "1.png").write_bytes(content.tobytes())
    expected = np.rint(values / 257) if len(shape) == 3 else np.rint(values / 257)[..., None].repeat(3, axis=2)
    assert differences(decode_image(tmp_path / "1.png"), expected).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_alpha_is_dropped(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"1.{suffix}"
    options: dict[str, Any] = {"lossless": True, "exact": True} if suffix == "webp" else {}
    Image.fromarray(np.dstack((noise(20, 30), ALPHA))).save(path, **options)
    with Image.open(path) as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(decode_image(path), np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(decode_image(path), noise(20, 30))


def test_alpha_of_a_grey_image_is_dropped(tmp_path: Path) -> None:
    grey = noise(20, 30)[..., 0]
    Image.fromarray(np.dstack((grey, ALPHA))).save(tmp_path / "1.png")
    np.testing.assert_array_equal(decode_image(tmp_path / "1.png"), grey[..., None].repeat(3, axis=2))


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_transparent_colour_is_kept_as_a_colour(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(noise(20, 30)).convert(mode)
    image.save(tmp_path / "1.png", transparency=(1, 2, 3) if mode == "RGB" else 5)
    np.testing.assert_array_equal(decode_image(tmp_path / "1.png"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"1.{suffix}"
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.fromarray(smooth_image(24, 40)).save(path, quality=95, exif=exif)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert upright.shape == ((24, 40, 3) if orientation < 5 else (40, 24, 3))
    assert differences(decode_image(path), upright).max() <= 2


@pytest.mark.parametrize("name", ["마스크 착용/사진 1.png", "a [b] {c}/*?.png", "café/#%&='.png", "dir.png/x.y.png"])
def test_any_path(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / name, noise(5, 7))
    np.testing.assert_array_equal(decode_image(tmp_path / name), noise(5, 7))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "the file is empty"),
        (b"just text", "not an image, or a damaged one"),
        (b"<html>not found</html>" * 50, "not an image, or a damaged one"),
        (bytes(1000), "not an image, or a damaged one"),
        (b"\x89PNG\r\n\x1a\n", "not an image, or a damaged one"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0", "not an image, or a damaged one"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "not an image, or a damaged one"),
        (b"GIF89a\x05", "not an image, or a damaged one"),
        (b"BM\x46\0\0\0", "not an image, or a damaged one"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "not an image, or a damaged one"),
        (b"II*\0\x08\0\0\0", "not an image, or a damaged one"),
        (png(100_000, 100_000, b""), "claims more pixels than the 100,000,000 that OPENCV_IO_MAX_IMAGE_PIXELS allows"),
    ],
)
def test_unreadable_file(tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes | None, reason: str) -> None:
    path = tmp_path / "사진 1.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImageError) as caught:
        decode_image(path)
    assert str(caught.value) == f"{path}: {reason}"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif", "gif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_file(tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, share: float) -> None:
    path = tmp_path / f"1.{suffix}"
    write_image(path, noise(40, 40))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UnreadableImageError, match="not an image, or a damaged one"):
        decode_image(path)
    assert capfd.readouterr() == ("", "")


def test_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match=f"^{tmp_path}: not a regular file$"):
        decode_image(tmp_path)


SIZES = pytest.mark.parametrize("size", [32, 64, 224])
SHAPES = pytest.mark.parametrize(
    ("height", "width"),
    [(1, 1), (1, 50), (2, 3), (25, 25), (31, 33), (32, 100), (111, 111), (224, 224), (563, 563), (480, 700), (400, 37)],
)
DRAW = pytest.mark.parametrize("draw", [noise, smooth_image])


@SIZES
@SHAPES
@DRAW
def test_resize_is_pils(size: int, height: int, width: int, draw: Callable[[int, int], np.ndarray]) -> None:
    image = draw(height, width)
    resized = resize_image(image, size)
    expected = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    assert resized.dtype == np.uint8
    assert differences(resized, expected).mean() <= 0.5
    assert differences(resized, expected).max() <= 1


@SIZES
@SHAPES
@DRAW
def test_resize_is_torchvisions(size: int, height: int, width: int, draw: Callable[[int, int], np.ndarray]) -> None:
    image = draw(height, width)
    channels_first = torch.from_numpy(image).permute(2, 0, 1)
    expected = functional.resize(channels_first, [size, size], InterpolationMode.BILINEAR, antialias=True)
    np.testing.assert_array_equal(resize_image(image, size), expected.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("size", [24, 32])
def test_resize_leaves_its_input_as_it_is(size: int) -> None:
    image = noise(32, 32)
    resize_image(image, size)[:] = 0
    np.testing.assert_array_equal(image, noise(32, 32))


def test_resize_to_the_same_size_changes_nothing() -> None:
    np.testing.assert_array_equal(resize_image(noise(32, 32), 32), noise(32, 32))


def test_an_image_is_cut_out_then_equalised_then_resized() -> None:
    image, box = noise(60, 50), Box(10, 20, 30)
    cut = np.ascontiguousarray(image[20:50, 10:40])
    np.testing.assert_array_equal(box.cut_out(image), cut)
    np.testing.assert_array_equal(prepare_image(image, 16), resize_image(image, 16))
    np.testing.assert_array_equal(prepare_image(image, 16, box=box), resize_image(cut, 16))
    equalised = prepare_image(image, 16, equalised_size=8, box=box)
    np.testing.assert_array_equal(equalised, resize_image(resize_image(cut, 8), 16))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "1.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(
        UnreadableImageError, match=r"1\.png: 1,073,741,825 bytes, more than the 1,073,741,824 allowed$"
    ):
        decode_image(tmp_path / "1.png")


def test_the_faults_of_three_files_are_shown_and_all_are_kept() -> None:
    faults = {f"{number}.png": f"{number}.png: the file is empty" for number in range(4)}
    error = UnreadableFilesError(faults, count=9)
    shown = "; ".join(list(faults.values())[:3])
    assert str(error) == f"4 of 9 image files cannot be read, repair or remove them: {shown}; ..."
    assert error.faults == faults


@pytest.mark.realdata
@pytest.mark.parametrize("size", [32, 64, 224])
def test_real_images_match_pil(shared: Path, tmp_path: Path, size: int) -> None:
    root = shared / "data" / "facemask12k" / "Validation"

    def width(file: Path) -> int:
        with Image.open(file) as image:
            return image.width

    by_width = sorted(root.glob("*/*.png"), key=width)
    chosen = [by_width[round(position)] for position in np.linspace(0, len(by_width) - 1, 50)]
    paths = [file.relative_to(root).as_posix() for file in chosen]
    images = cached_images(ImageFiles(root, paths, size), tmp_path / "cache", threads=2)
    expected = np.stack([resized_by_pil(file, size) for file in chosen])
    by_image = differences(images, expected).reshape(50, -1)
    assert by_image.mean(axis=1).max() <= 1
    assert by_image.max() <= 2
