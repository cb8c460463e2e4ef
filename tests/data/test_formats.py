import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from images import scene
from PIL import Image

from maskcls.data.decode import decode_content
from maskcls.data.formats import HEAD_BYTES, described, format_of, is_film

SUFFIXES = {
    ".jpg": "JPEG", ".png": "PNG", ".gif": "GIF", ".bmp": "BMP", ".tiff": "TIFF", ".webp": "WEBP", ".avif": "AVIF",
    ".jp2": "JPEG 2000", ".ppm": "PNM", ".pgm": "PNM", ".pbm": "PNM", ".hdr": "HDR",
    ".ras": "Sun raster", ".pam": "PAM",
}  # fmt: skip


def encoded(suffix: str) -> bytes:
    image: np.ndarray = scene(0, 32)[..., ::-1]
    if suffix in (".pgm", ".pbm"):
        image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)
    if suffix == ".hdr":
        image = image.astype(np.float32) / 255
    return cv2.imencode(suffix, np.ascontiguousarray(image))[1].tobytes()


def by_pillow(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(scene(0, 32)).save(stream, kind, **options)
    return stream.getvalue()


def brands(major: bytes, *others: bytes) -> bytes:
    content = b"ftyp" + major + bytes(4) + b"".join(others)
    return (len(content) + 4).to_bytes(4, "big") + content + b"\0\0\0\x08meta"


@pytest.mark.parametrize(("suffix", "name"), SUFFIXES.items())
def test_every_format_that_opencv_writes_is_known_and_decoded(suffix: str, name: str) -> None:
    content = encoded(suffix)
    assert format_of(content[:HEAD_BYTES]) == name
    assert decode_content(content, Path(f"a{suffix}")).image.shape == (32, 32, 3)
    assert described(content[:HEAD_BYTES]).endswith(f" {name} image")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (by_pillow("JPEG2000", no_jp2=True), "JPEG 2000"),
        (by_pillow("TIFF", big_tiff=True), "TIFF"),
        (by_pillow("GIF"), "GIF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"MM\0+\0\x08\0\0", "TIFF"),
        (brands(b"heic", b"mif1"), "HEIC"),
        (brands(b"mif1", b"mif1", b"heic"), "HEIC"),
        (brands(b"msf1", b"msf1", b"hevc"), "HEIC"),
        (brands(b"mif1", b"mif1", b"avif", b"miaf"), "AVIF"),
        (brands(b"avis", b"msf1"), "AVIF"),
        (b"P1\n# drawn by hand\n2 2\n0 1\n1 0\n", "PNM"),
        (b"P2 2 1 255\n0 255\n", "PNM"),
        (b"P3\n1 1\n255\n1 2 3\n", "PNM"),
        (b"P5 2 1 255\n\x80\x81", "PNM"),
    ],
)
def test_variants_of_formats(content: bytes, name: str) -> None:
    assert format_of(content) == name


@pytest.mark.parametrize(
    "content",
    [
        b"", b"P1 20 30 metres", b"P2 is a prime", b"P3 1 2 3 and more", b"P4 12 13 boxes", b"P6", b"PF changers 1 2",
        b"BMW builds cars, and this is a text about them", b"BM", b"II", b"II*", b"RIFF\0\0\0\0WAVE", b"12345678WEBP",
        b"\xff\xd8", brands(b"isom", b"avc1", b"mp41"), b"II*\0\x10\0\0\0CR\x02\0", bytes(100), b"GIF90a",
    ],
)  # fmt: skip
def test_other_content_is_no_image(content: bytes) -> None:
    assert format_of(content) is None


def zip_archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "a")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (bytes(2000), "zeros only"),
        (b"\xef\xbb\xbf\n <!DOCTYPE html>\n<html>", "an HTML page"),
        (b"<!-- cache --><HTML><body>404</body></HTML>", "an HTML page"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "an XML document"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "a Git LFS pointer"),
        (b'{"detail": "rate limit"}', "a JSON file"),
        (b"path,label\na.jpg,cat\nb.jpg,dog\n", "a CSV table"),
        ("사진 목록\n".encode() * 200, "a text file"),
        ("사진".encode("utf-16"), "a text file"),
        (zip_archive(), "a ZIP archive"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "a gzip file"),
        (brands(b"isom", b"avc1", b"mp41"), "an MP4 film"),
        (brands(b"qt  "), "a QuickTime (MOV) film"),
        (b"\0\0\0\x08wide\0\0\0\x08mdat", "a QuickTime (MOV) film"),
        (b"RIFF\0\0\0\0AVI LIST", "an AVI film"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0", "an MKV or WebM film"),
        ((b"G" + bytes(187)) * 5, "an MPEG film"),
        ((bytes(4) + b"G" + bytes(187)) * 5, "an MPEG film"),
        (b"G" + bytes(187) + b"G" + bytes(500), "unknown content"),
        (b"\xff\x0a\x7f\x12", "a JPEG XL image"),
        (b"II*\0\x10\0\0\0CR\x02\0", "a camera's raw photograph"),
        (b"PF\n4 4\n-1.0\n", "a PFM image of floats"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (bytes(range(256)), "unknown content"),
    ],
)
def test_other_content_is_described(content: bytes, expected: str) -> None:
    assert described(content) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (brands(b"isom"), True),
        (brands(b"qt  "), True),
        (brands(b"M4A "), False),
        (brands(b"heic"), False),
        (encoded(".jpg"), False),
        (b"a film", False),
        (b"", False),
    ],
)
def test_a_film_is_told_by_its_content(head: bytes, expected: bool) -> None:  # noqa: FBT001
    assert is_film(head) is expected
