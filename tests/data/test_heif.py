import io

import numpy as np
import pillow_heif
import pytest
from PIL import Image, features

from maskcls.data import heif
from maskcls.data.heif import decode_heif

EXIF_ORIENTATION = 0x0112


def picture() -> np.ndarray:
    y, x = np.mgrid[:64, :96]
    return np.stack((y * 4 - y, x * 2, 255 - x), axis=-1).astype(np.uint8)


def heic(exif: bytes | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    pillow_heif.register_heif_opener()
    Image.fromarray(picture()).save(stream, "HEIF", quality=95, **options, **({"exif": exif} if exif else {}))
    return stream.getvalue()


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    return exif.tobytes()


def close(image: np.ndarray, other: np.ndarray) -> bool:
    return image.shape == other.shape and bool(np.abs(image.astype(int) - other).mean() < 3)


def test_a_heic_is_decoded() -> None:
    assert close(decode_heif(heic(), "HEIC", 1e6), picture())


def test_the_container_turns_a_picture_once() -> None:
    content = heic(oriented(6))
    assert b"\0\0\0\x09irot\x03" in content
    assert close(decode_heif(content, "HEIC", 1e6), np.rot90(picture(), -1))


def test_the_exif_orientation_counts_where_the_container_turns_nothing() -> None:
    content = heic(oriented(6)).replace(b"\0\0\0\x09irot\x03", b"\0\0\0\x09irot\x00")
    assert close(decode_heif(content, "HEIC", 1e6), np.rot90(picture(), -1))


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heif, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^a HEIC image: reading it needs pip install 'maskcls\[heif\]'$"):
        decode_heif(heic(), "HEIC", 1e6)
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(ValueError, match=r"^an AVIF image: reading it needs pip install --upgrade pillow$"):
        decode_heif(b"", "AVIF", 1e6)


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
def test_damaged_and_too_large_files_are_refused(kind: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, "AVIF")
    content = heic() if kind == "HEIC" else stream.getvalue()
    with pytest.raises(ValueError, match=r"^claims more pixels than the 6,000 that OPENCV_IO_MAX_IMAGE_PIXELS allows$"):
        decode_heif(content, kind, 6000)
    for end in (20, 100, len(content) // 2):
        with pytest.raises(ValueError, match=f"^a damaged {kind} image: .+"):
            decode_heif(content[:end], kind, 1e6)
