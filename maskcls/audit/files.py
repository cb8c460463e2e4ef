"""Reads every file of a data set once: facts about the file, and measurements on its pixels."""

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

# formats by the suffixes of file names
FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **{f".{name.lower()}": name for name in ("PNG", "BMP", "WEBP", "GIF")},
}
# mode of an ordinary photograph; others are grey, or have a palette, an alpha channel or more than 8 bits
USUAL_MODE = "RGB"
# an image has a single colour where its pixels deviate by less than this, two of 255 levels
CONSTANT = 2 / 255

# side in pixels of the image that the spectrum is computed on, and number of its bands, from low frequencies to high
SPECTRUM_SIDE, BANDS = 128, 8
# side in pixels of the image whose rim is the border, and width of the border: an eighth of the side
BORDER_SIDE, BORDER_WIDTH = 16, 2


@dataclass(frozen=True)
class FileFacts:
    """Facts about one file.

    Attributes:
        path: path relative to the data set's root.
        size: size in bytes.
        fault: reason why the image cannot be read, None where it can.
        digest: SHA-256 of the bytes.
        format: format of the content: PNG, JPEG, ..., or unknown.
        mode: Pillow's name of the pixel format: RGB, L (grey), P (palette), RGBA, I;16, ...
        is_truncated: whether the end of the file is missing, although it can be decoded.
        width, height: size in pixels, as the image is shown.
        pixel_digest: SHA-256 of the size and the RGB pixels.
        mean, deviation: mean and standard deviation of each channel, red, green and blue, 0..1.
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
        """Whether the file name has the suffix of another format."""
        return self.fault is None and FORMATS[Path(self.path).suffix.lower()] != self.format

    @property
    def name_is_unreadable(self) -> bool:
        """Whether the name contains bytes that are not UTF-8."""
        return any("\udc80" <= letter <= "\udcff" for letter in self.path)

    @property
    def is_constant(self) -> bool:
        """Whether all pixels have one colour."""
        return self.fault is None and max(self.deviation) < CONSTANT


class Inspection(NamedTuple):
    """Facts and measurements of all files. The arrays have a row of zeros for each file that cannot be read.

    Attributes:
        facts: facts about each file.
        spectra: float32 [files, BANDS], as `spectrum` returns them.
        borders: uint8 [files, values], as `border` returns them.
    """

    facts: list[FileFacts]
    spectra: np.ndarray
    borders: np.ndarray


class _Measured(NamedTuple):
    features: Features
    spectrum: np.ndarray
    border: np.ndarray


def inspect_files(root: Path, paths: Sequence[str], store: FeatureStore, threads: int) -> Inspection:
    """Read each file once, in parallel, and add its local features to ``store`` in the order of ``paths``."""
    border_values = (BORDER_SIDE**2 - (BORDER_SIDE - 2 * BORDER_WIDTH) ** 2) * 3
    spectra = np.zeros((len(paths), BANDS), dtype=np.float32)
    borders = np.zeros((len(paths), border_values), dtype=np.uint8)
    facts = []
    with one_thread_each(), in_threads(lambda path: _inspect(root, path), paths, threads) as inspected:
        bar = tqdm(inspected, total=len(paths), desc="read", unit=" images", leave=False, disable=None)
        for row, (fact, measured) in enumerate(bar):
            facts.append(fact)
            store.add(measured and measured.features)
            if measured is not None:
                spectra[row], borders[row] = measured.spectrum, measured.border
    return Inspection(facts, spectra, borders)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let functions of OpenCV and torch use a single thread, because several threads call them.

    Threads that share small pieces of work wait for each other, the more so where other programs use the cores.
    """
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def _inspect(root: Path, path: str) -> tuple[FileFacts, _Measured | None]:
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
    return facts, _Measured(extract(grey_thumbnail(image)), spectrum(image), border(image))


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
    """Tell whether the end of an image file is missing. Some decoders fill it with grey without an error.

    Args:
        kind: format of the content: PNG, JPEG, ... For TIFF and unknown formats the answer is always no.
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
    """Compute the log of each frequency band's share of an image's energy, low ones first: float32 [BANDS]."""
    grey = cv2.cvtColor(cv2.resize(image, (SPECTRUM_SIDE, SPECTRUM_SIDE)), cv2.COLOR_RGB2GRAY).astype(np.float32)
    window = np.hanning(SPECTRUM_SIDE)[:, None] * np.hanning(SPECTRUM_SIDE)
    energy = np.abs(np.fft.rfft2((grey - grey.mean()) * window)) ** 2
    vertical, horizontal = np.fft.fftfreq(SPECTRUM_SIDE)[:, None], np.fft.rfftfreq(SPECTRUM_SIDE)
    band = np.minimum(np.hypot(vertical, horizontal) * 2 * BANDS, BANDS - 1).astype(int)
    shares = np.bincount(band.ravel(), energy.ravel(), BANDS) + 1e-3
    return np.log(shares / shares.sum()).astype(np.float32)


def border(image: np.ndarray) -> np.ndarray:
    """Return the colours along an image's border, uint8 [values], without the middle where the face is."""
    small = cv2.resize(image, (BORDER_SIDE, BORDER_SIDE), interpolation=cv2.INTER_AREA)
    is_border = np.ones((BORDER_SIDE, BORDER_SIDE), dtype=bool)
    is_border[BORDER_WIDTH:-BORDER_WIDTH, BORDER_WIDTH:-BORDER_WIDTH] = False
    return small[is_border].ravel()
