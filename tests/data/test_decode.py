import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
import torch
from images import packed, tiff, write_image
from PIL import Image, ImageFile, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from maskcls.config.types import Resize
from maskcls.data.cache import cached_images
from maskcls.data.decode import (
    BORDER,
    MAX_BYTES,
    Box,
    UnreadableFilesError,
    UnreadableImageError,
    decode_file,
    decode_image,
    input_region,
    prepare_image,
    resize_image,
    square_image,
)
from maskcls.data.image_files import ImageFiles

LFS = "a Git LFS pointer, not an image; git lfs pull fetches the image"
ALPHA = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)
EXIF_ORIENTATION = 0x0112


def smooth_image(height: int, width: int) -> np.ndarray:
    """Draw RGB uint8 without symmetry and with three different channels, smooth enough for JPEG."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    return np.stack((255 * y, 120 + 100 * x * y, 255 * (1 - x) ** 2), axis=-1).astype(np.uint8)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: np.ndarray, suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, image[..., ::-1] if image.ndim == 3 else image)[1])


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
        (b"just text", "a text file, not an image"),
        (b"<html>not found</html>" * 50, "an HTML page, not an image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", LFS),
        (
            b"\0\0\0\x18ftypisom\0\0\0\0isomavc1",
            "an MP4 film, which maskcls does not read; extract its frames as JPEG or PNG",
        ),
        (bytes(1000), "zeros only, not an image"),
        (bytes(range(1, 200)), "unknown content, not an image"),
        (b"\x89PNG\r\n\x1a\n", "cut off: its end is missing"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0", "cut off: its end is missing"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "cut off: its end is missing"),
        (b"GIF89a\x05", "cut off: its end is missing"),
        (b"BM\x46\0\0\0", "unknown content, not an image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a damaged WEBP image"),
        (b"II*\0\x08\0\0\0", "a damaged TIFF image"),
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


@pytest.mark.parametrize("suffix", ["webp", "tif", "gif", "jp2", "avif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_file(tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, share: float) -> None:
    path = tmp_path / f"1.{suffix}"
    write_image(path, noise(40, 40))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UnreadableImageError, match=r"cut off: its end is missing|a damaged .* image"):
        decode_image(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
@pytest.mark.parametrize("share", [0.6, 0.95])
def test_what_is_left_of_a_truncated_file_is_decoded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, share: float
) -> None:
    path = tmp_path / f"1.{suffix}"
    write_image(path, noise(160, 40))
    whole = decode_file(path)
    assert whole.damage is None
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    image, damage, remark = decode_file(path)
    assert (damage, remark) == ("cut off: its end is missing", "")
    kept, lost = differences(image, whole.image)[: int(160 * share * 0.4)], differences(image, whole.image)
    assert image.shape == whole.image.shape
    if suffix == "bmp":  # whose last rows come first
        kept = differences(image, whole.image)[-int(160 * share * 0.4) :]
    assert kept.max() == 0
    assert lost.max() > 20
    np.testing.assert_array_equal(decode_image(path), image)
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_without_its_last_bytes_is_what_viewers_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    whole, path = encoded(smooth_image(80, 60), ".jpg"), tmp_path / "1.jpg"
    for missing in (1, 2, 3, 30, len(whole) // 2):
        path.write_bytes(whole[:-missing])
        image, damage, _ = decode_file(path)
        assert damage == "cut off: its end is missing"
        with Image.open(path) as shown:
            np.testing.assert_array_equal(image, np.asarray(shown.convert("RGB")))


def test_a_file_of_which_no_pixel_is_left_is_unreadable(tmp_path: Path) -> None:
    whole, path = encoded(smooth_image(80, 60), ".jpg"), tmp_path / "1.jpg"
    for end in (100, whole.find(b"\xff\xda"), whole.find(b"\xff\xda") + 14):
        path.write_bytes(whole[:end])
        with pytest.raises(UnreadableImageError, match=r"1\.jpg: cut off: its end is missing$"):
            decode_image(path)


def test_what_the_decoder_says_comes_with_the_image(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = encoded(smooth_image(80, 60), ".jpg")
    (tmp_path / "1.jpg").write_bytes(content[:-2] + bytes(20) + content[-2:])
    image, damage, remark = decode_file(tmp_path / "1.jpg")
    assert image.shape == (80, 60, 3)
    assert damage is None
    assert remark.startswith("the decoder says: Corrupt JPEG data: ")
    assert remark.endswith(" extraneous bytes before marker 0xd9")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("suffix", "frames"), [("gif", 1), ("gif", 3), ("png", 3), ("webp", 3), ("tiff", 3), ("avif", 3)]
)
def test_of_an_animation_the_first_frame_is_used_and_said(tmp_path: Path, suffix: str, frames: int) -> None:
    first, *others = (Image.new("RGB", (16, 8), (200, 0, 80 * shade)) for shade in range(frames))
    first.save(tmp_path / f"1.{suffix}", save_all=frames > 1, append_images=others)
    image, _, remark = decode_file(tmp_path / f"1.{suffix}")
    assert differences(image, np.asarray(first)).max() <= 4
    assert remark == ("an animation or several pages, of which the first is used" if frames > 1 else "")


def with_chunk(content: bytes, kind: bytes, data: bytes) -> bytes:
    """Insert a chunk behind a PNG's header."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content[:33] + chunk + content[33:]


def ramp(white: int) -> np.ndarray:
    return np.linspace(0, white, 4096).round().reshape(64, 64).astype(np.uint16)


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
@pytest.mark.parametrize(("white", "is_said"), [(1023, True), (4095, True), (4096, False), (65535, False), (0, False)])
def test_values_of_twelve_bits_whose_depth_is_not_stated_are_said(
    tmp_path: Path, suffix: str, white: int, *, is_said: bool
) -> None:
    path = tmp_path / f"1.{suffix}"
    said = "samples of sixteen bits whose values fit in twelve: nearly black unless multiplied by sixteen"
    for image in (ramp(white), cv2.merge([ramp(white)] * 3)):
        path.write_bytes(encoded(image, ".ppm" if suffix == "pgm" and image.ndim == 3 else f".{suffix}"))
        assert decode_file(path).remark == (said if is_said else "")


def test_a_dark_image_of_8_bits_or_of_a_stated_depth_is_no_news(tmp_path: Path) -> None:
    (tmp_path / "8.png").write_bytes(encoded((ramp(4095) // 256).astype(np.uint8), ".png"))
    (tmp_path / "12.png").write_bytes(with_chunk(encoded(ramp(200), ".png"), b"sBIT", b"\x0c"))
    assert [decode_file(tmp_path / name).remark for name in ("8.png", "12.png")] == ["", ""]


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_samples_of_fewer_bits_are_scaled_by_the_depth_that_the_file_states(tmp_path: Path, bits: int) -> None:
    white = 2**bits - 1
    expected = np.rint(ramp(white) * (255 / white))[..., None].repeat(3, axis=2)
    plain = encoded(ramp(white), ".png")
    files = {
        "1.png": with_chunk(plain, b"sBIT", bytes([bits])),
        "1.pgm": b"P5\n# 16 bits\n64 64\n%d\n" % white + ramp(white).astype(">u2").tobytes(),
        "2.pgm": b"P2 64 64 %d\n" % white + " ".join(map(str, ramp(white).ravel())).encode() + b"\n",
        "1.tif": tiff(ramp(white).astype("<u2").tobytes(), 16, (281, 3, white - 100)),
        "2.tif": tiff(packed(ramp(white), bits), bits),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert differences(decode_image(tmp_path / name), expected).max() <= 1, name
    # nothing says how deep this one is
    (tmp_path / "3.png").write_bytes(plain)
    assert decode_image(tmp_path / "3.png").max() == white >> 8


def test_a_colour_tiff_of_twelve_bits_is_scaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    channels = [ramp(4095), ramp(4095)[::-1], ramp(4095).T]
    (tmp_path / "1.tif").write_bytes(encoded(cv2.merge(channels), ".tiff"))
    monkeypatch.setattr("maskcls.data.decode.white_of", lambda content, kind: 4095)  # OpenCV cannot write this tag
    expected = np.rint(np.dstack(channels) * (255 / 4095))
    assert differences(decode_image(tmp_path / "1.tif"), expected).max() <= 1


def test_a_jpeg_2000_is_scaled_by_its_precision(tmp_path: Path) -> None:
    # a file of 16 bits becomes one of 12 where its header says so, and its values are those above the middle of 12 bits
    content = bytearray(encoded(ramp(4095) + 2**15 - 2**11, ".jp2"))
    precision = content.find(b"\xff\x4f\xff\x51") + 42
    assert content[precision] == 15
    content[precision] = 11
    (tmp_path / "1.jp2").write_bytes(content)
    assert differences(decode_image(tmp_path / "1.jp2")[..., 0], np.rint(ramp(4095) * (255 / 4095))).max() <= 1


def test_a_png_whose_samples_were_moved_up_is_not_scaled_again(tmp_path: Path) -> None:
    for name, values in (("1.png", ramp(4095) << 4), ("2.png", ramp(255) << 4)):  # the second one is dark
        plain = encoded(values, ".png")
        (tmp_path / "plain.png").write_bytes(plain)
        (tmp_path / name).write_bytes(with_chunk(plain, b"sBIT", b"\x0c"))
        assert differences(decode_image(tmp_path / name), decode_image(tmp_path / "plain.png")).max() <= 1


def test_a_netpbm_file_of_a_hundred_greys(tmp_path: Path) -> None:
    (tmp_path / "1.pgm").write_bytes(b"P5\n3 1\n100\n\x00\x32\x64")
    assert decode_image(tmp_path / "1.pgm")[0, :, 0].tolist() == [0, 128, 255]


def test_floats_and_raw_photographs_are_named(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), dtype=np.float32)).save(tmp_path / "1.tif")
    with pytest.raises(UnreadableImageError, match="a TIFF image of 32-bit floats, whose white is not known; save it"):
        decode_image(tmp_path / "1.tif")
    (tmp_path / "1.nef").write_bytes(tiff(bytes(64 * 64), 8, (254, 4, 1)))
    with pytest.raises(
        UnreadableImageError, match="a camera's raw photograph, which maskcls does not read; convert it"
    ):
        decode_image(tmp_path / "1.nef")


@pytest.mark.parametrize("suffix", ["jfif", "dat", "png", ""])
def test_the_content_decides_not_the_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"1.{suffix}"
    path.write_bytes(encoded(smooth_image(20, 30), ".jpg"))
    assert decode_image(path).shape == (20, 30, 3)


@pytest.mark.parametrize("suffix", ["heic", "avif", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_once(tmp_path: Path, orientation: int, suffix: str) -> None:
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    stored, path = Image.fromarray(smooth_image(64, 96)), tmp_path / f"1.{suffix}"
    stored.save(path, exif=exif.tobytes(), quality=95)
    stored.getexif()[EXIF_ORIENTATION] = orientation
    upright = np.asarray(ImageOps.exif_transpose(stored))
    assert differences(decode_image(path), upright).mean() <= 3


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


def test_cropping_keeps_the_middle() -> None:
    image = noise(30, 50)
    np.testing.assert_array_equal(square_image(image, 16, "crop"), resize_image(image[:, 10:40].copy(), 16))
    tall = noise(51, 30)
    np.testing.assert_array_equal(square_image(tall, 16, "crop"), resize_image(tall[10:40].copy(), 16))


def test_padding_keeps_everything_within_a_grey_border() -> None:
    padded = square_image(np.full((20, 40, 3), 200, dtype=np.uint8), 16, "pad")
    assert padded.shape == (16, 16, 3)
    assert (padded[4:12] == 200).all()
    assert (padded[:4] == BORDER).all()
    assert (padded[12:] == BORDER).all()
    image = noise(40, 20)
    expected = np.asarray(Image.fromarray(image).resize((8, 16), Image.Resampling.BILINEAR))
    padded = square_image(image, 16, "pad")
    assert differences(padded[:, 4:12], expected).max() <= 1
    assert (padded[:, :4] == BORDER).all()
    assert square_image(noise(1, 500), 16, "pad").shape == (16, 16, 3)


@pytest.mark.parametrize("resize", ["squeeze", "crop", "pad"])
def test_a_square_is_the_same_however_it_is_resized(resize: Resize) -> None:
    np.testing.assert_array_equal(square_image(noise(30, 30), 16, resize), resize_image(noise(30, 30), 16))


@pytest.mark.parametrize("resize", ["squeeze", "crop", "pad"])
def test_an_equalised_image_is_made_a_square_first(resize: Resize) -> None:
    image = noise(60, 40)
    expected = resize_image(square_image(image, 8, resize), 16)
    np.testing.assert_array_equal(prepare_image(image, 16, equalised_size=8, resize=resize), expected)
    box = prepare_image(image, 16, box=Box(5, 5, 30), resize=resize)
    np.testing.assert_array_equal(box, resize_image(image[5:35, 5:35].copy(), 16))


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
    ways = "repair or remove them, or data.on_bad_image=skip leaves them out"
    assert str(error) == f"4 of 9 image files cannot be read; {ways}: {shown}; ..."
    assert error.faults == faults
    damaged = UnreadableFilesError(faults, 9, [*faults][:1])
    assert damaged.damaged == {"0.png"}
    assert str(damaged).startswith(
        f"4 of 9 image files cannot be read (1 only in part); {ways}, use takes what is left of damaged ones: "
    )
    assert str(UnreadableFilesError(faults, 9, faults)).startswith(
        f"4 of 9 image files are damaged; {ways}, use takes "
    )
    one = {"a.jpg": "a.jpg: cut off"}
    assert str(UnreadableFilesError(one, 9, one)).startswith(f"1 of 9 image files is damaged; {ways}, use takes ")


@pytest.mark.parametrize("resize", ["squeeze", "crop", "pad"])
@pytest.mark.parametrize("shape", [(90, 150), (150, 90), (100, 100)])
@pytest.mark.parametrize("box", [None, Box(20, 30, 40)])
def test_the_region_is_where_the_pixels_are_from(resize: Resize, shape: tuple[int, int], box: Box | None) -> None:
    """A black dot in a white image is found where the region says."""
    row, column = 45, 50
    image = np.full((*shape, 3), 255, np.uint8)
    image[row - 2 : row + 3, column - 2 : column + 3] = 0
    prepared = prepare_image(image, 200, box=box, resize=resize)
    ys, xs = np.nonzero(prepared[..., 0] < 64)
    left, top, width, height = input_region(*shape, box, resize)
    found = left + width * (xs.mean() + 0.5) / 200, top + height * (ys.mean() + 0.5) / 200
    assert found == pytest.approx((column + 0.5, row + 0.5), abs=0.5)


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
