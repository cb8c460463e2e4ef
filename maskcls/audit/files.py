"""The one pass over the files of a data set: what each is, and what is measured on its pixels."""

import hashlib
import io
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from maskcls.audit.features import Features, FeatureStore, extract, grey_thumbnail
from maskcls.cores import in_threads
from maskcls.data.decode import UnreadableImageError, decode_bytes, read_bytes

# formats by the endings that names have
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
}
# what a photograph is stored as; others are grey, or have a palette, an alpha channel or more than 8 bits
USUAL_MODE = "RGB"
# a spread of the pixels below this is none: two of 255 levels
CONSTANT = 2 / 255

# pixels a side of the image that the spectrum is taken of, and its bands, from low frequencies to high ones
SPECTRUM_SIDE, BANDS = 128, 8
# pixels a side of the image whose rim is the border, and the width of that: an eighth on each side
BORDER_SIDE, BORDER_WIDTH = 16, 2


@dataclass(frozen=True)
class FileFacts:
    """What an audit says of one file.

    Attributes:
        path: relative to the data set's root.
        size: bytes.
        fault: why it cannot be read, None where it can.
        digest: SHA-256 of the bytes.
        format: that its content has: PNG, JPEG, ..., or unknown.
        mode: as Pillow names it: RGB, L (grey), P (palette), RGBA, I;16, ...
        is_truncated: whether its end is missing, though it can be decoded.
        width, height: pixels, as it is shown.
        pixel_digest: SHA-256 of size and RGB pixels.
        mean, deviation: of each channel's pixels, 0..1; the deviation is the standard one.
    """

    path: str
    size: int
    fault: str | None = None
    digest: str = ""
    format: str = "unknown"
    mode: str = ""
    is_truncated: bool = False
    width: int = 0
    height: int = 0
    pixel_digest: str = ""
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @property
    def suffix_lies(self) -> bool:
        """Whether the name ends in that of another format."""
        return self.fault is None and FORMATS[Path(self.path).suffix.lower()] != self.format

    @property
    def name_is_unreadable(self) -> bool:
        """Whether the name holds bytes that are no UTF-8."""
        return any("\udc80" <= letter <= "\udcff" for letter in self.path)

    @property
    def is_constant(self) -> bool:
        """Whether all pixels have one colour."""
        return self.fault is None and max(self.deviation) < CONSTANT


class Inspection(NamedTuple):
    """What `inspect_files` finds; arrays have a row for each file, of zeros for those that cannot be read.

    Attributes:
        facts: of each file.
        spectra: float32 [files, BANDS], logarithm of each band's share of the energy.
        borders: uint8 [files, ...], the colours along the border.
    """

    facts: list[FileFacts]
    spectra: np.ndarray
    borders: np.ndarray


def inspect_files(root: Path, paths: Sequence[str], store: FeatureStore, threads: int) -> Inspection:
    """Read each file once, in parallel; local features and thumbnails are added to ``store``, in the same order."""
    border_values = (BORDER_SIDE**2 - (BORDER_SIDE - 2 * BORDER_WIDTH) ** 2) * 3
    spectra = np.zeros((len(paths), BANDS), dtype=np.float32)
    borders = np.zeros((len(paths), border_values), dtype=np.uint8)
    facts = []
    with one_thread_each(), in_threads(lambda path: _inspect(root, path), paths, threads) as inspected:
        bar = tqdm(inspected, total=len(paths), desc="read", unit=" images", leave=False, disable=None)
        for row, (fact, image) in enumerate(bar):
            facts.append(fact)
            store.add(*(image[:2] if image else (None, None)))
            if image is not None:
                spectra[row], borders[row] = image[2:]
    return Inspection(facts, spectra, borders)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let OpenCV's and torch's functions be of one thread: those that call them are several.

    Threads that share small pieces of work wait for each other, and the longer where another program wants the cores.
    """
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


Measured = tuple[np.ndarray, Features, np.ndarray, np.ndarray]


def _inspect(root: Path, path: str) -> tuple[FileFacts, Measured | None]:
    """The facts of a file, and its thumbnail, features, spectrum and border."""
    content, kind = b"", "unknown"
    try:
        content = read_bytes(root / path)
        kind, mode = _format_and_mode(content)
        image = decode_bytes(content, root / path)
    except UnreadableImageError as error:
        fault = "cut off: its end is missing" if is_truncated(content, kind) else str(error)
        return FileFacts(path, len(content), fault.removeprefix(f"{root / path}: "), format=kind), None
    mean, deviation = (values.ravel() / 255 for values in cv2.meanStdDev(image))
    facts = FileFacts(
        path=path,
        size=len(content),
        digest=hashlib.sha256(content).hexdigest(),
        format=kind,
        mode=mode,
        is_truncated=is_truncated(content, kind),
        width=image.shape[1],
        height=image.shape[0],
        pixel_digest=_pixel_digest(image),
        mean=tuple(mean.tolist()),
        deviation=tuple(deviation.tolist()),
    )
    thumbnail = grey_thumbnail(image)
    return facts, (thumbnail, extract(thumbnail), spectrum(image), border(image))


def _pixel_digest(image: np.ndarray) -> str:
    digest = hashlib.sha256(struct.pack("2q", *image.shape[:2]))
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def _format_and_mode(content: bytes) -> tuple[str, str]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as header:  # reads no pixels
            return ("JPEG" if header.format == "MPO" else header.format or "unknown"), header.mode
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return "unknown", ""


def is_truncated(content: bytes, kind: str) -> bool:
    """Whether the end of an image file is missing, which decoders fill with grey rather than complain.

    Args:
        kind: PNG, JPEG, ...; of TIFF and unknown formats it cannot be told.
    """
    match kind:
        case "JPEG":  # end of image, after the last start of scan
            return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
        case "PNG":
            return b"IEND" not in content[-4096:]
        case "GIF":
            return not content.rstrip(b"\0").endswith(b";")
        case "WEBP":
            return len(content) < struct.unpack("<I", content[4:8])[0] + 8
        case "BMP":
            return len(content) < struct.unpack("<I", content[2:6])[0]
        case _:
            return False


def spectrum(image: np.ndarray) -> np.ndarray:
    """How an image's energy is spread over frequencies: float32 [BANDS], logarithms of shares, low ones first."""
    grey = cv2.cvtColor(cv2.resize(image, (SPECTRUM_SIDE, SPECTRUM_SIDE)), cv2.COLOR_RGB2GRAY).astype(np.float32)
    window = np.hanning(SPECTRUM_SIDE)[:, None] * np.hanning(SPECTRUM_SIDE)
    energy = np.abs(np.fft.rfft2((grey - grey.mean()) * window)) ** 2
    vertical, horizontal = np.fft.fftfreq(SPECTRUM_SIDE)[:, None], np.fft.rfftfreq(SPECTRUM_SIDE)
    band = np.minimum(np.hypot(vertical, horizontal) * 2 * BANDS, BANDS - 1).astype(int)
    shares = np.bincount(band.ravel(), energy.ravel(), BANDS) + 1e-3
    return np.log(shares / shares.sum()).astype(np.float32)


def border(image: np.ndarray) -> np.ndarray:
    """The colours along an image's border, without the middle three quarters where a face is: uint8 [...]."""
    small = cv2.resize(image, (BORDER_SIDE, BORDER_SIDE), interpolation=cv2.INTER_AREA)
    is_border = np.ones((BORDER_SIDE, BORDER_SIDE), dtype=bool)
    is_border[BORDER_WIDTH:-BORDER_WIDTH, BORDER_WIDTH:-BORDER_WIDTH] = False
    return small[is_border].ravel()
