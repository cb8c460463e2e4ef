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

from maskcls.audit.features import SIDE, Features, FeatureStore, extract, grey_thumbnail
from maskcls.audit.quality import Look, look
from maskcls.audit.thumbnails import SMALL_SIDE, small_thumbnail
from maskcls.cores import in_threads
from maskcls.data.decode import UnreadableImageError, decode_content, read_bytes
from maskcls.data.faces import FaceFinder
from maskcls.data.formats import HEAD_BYTES, format_of
from maskcls.data.readable import report_remarks
from maskcls.progress import progress

# formats by the suffixes of file names
FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".heic", ".heif"), "HEIC"),
    **dict.fromkeys((".jp2", ".j2k", ".j2c"), "JPEG 2000"),
    **{f".{name.lower()}": name for name in ("PNG", "BMP", "WEBP", "GIF", "AVIF")},
}
# mode of an ordinary image; others are grey, or have a palette, an alpha channel or more than 8 bits
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
        damage: what is wrong with a file that can be decoded in part, None where it is whole.
        remark: what is odd about a file that can be decoded whole, such as corrupt data; empty for an ordinary one.
        width, height: size in pixels, as the image is shown.
        pixel_digest: SHA-256 of the size and the RGB pixels.
        mean, deviation: mean and standard deviation of each channel, red, green and blue, 0..1.
        has_face: whether a face was found, None where none was looked for.
    """

    path: str
    size: int
    fault: str | None = None
    digest: str = ""
    format: str = "unknown"
    mode: str = ""
    damage: str | None = None
    remark: str = ""
    width: int = 0
    height: int = 0
    pixel_digest: str = ""
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    has_face: bool | None = None

    @property
    def suffix_lies(self) -> bool:
        """Whether the file name has the suffix of another format."""
        return self.fault is None and FORMATS.get(Path(self.path).suffix.lower(), self.format) != self.format

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
        thumbnails: uint8 [files, SMALL_SIDE, SMALL_SIDE], as `small_thumbnail` returns them.
        looks: float32 [files, measures], as `look` returns them.
    """

    facts: list[FileFacts]
    spectra: np.ndarray
    borders: np.ndarray
    thumbnails: np.ndarray
    looks: np.ndarray


class _Measured(NamedTuple):
    features: Features
    spectrum: np.ndarray
    border: np.ndarray
    thumbnail: np.ndarray
    look: Look


def inspect_files(
    root: Path, paths: Sequence[str], store: FeatureStore, threads: int, finder: FaceFinder | None = None
) -> Inspection:
    """Read each file once, in parallel, and add its local features to ``store`` in the order of ``paths``.

    Args:
        finder: looks for a face in each image; None to look for none.
    """
    border_values = (BORDER_SIDE**2 - (BORDER_SIDE - 2 * BORDER_WIDTH) ** 2) * 3
    spectra = np.zeros((len(paths), BANDS), dtype=np.float32)
    borders = np.zeros((len(paths), border_values), dtype=np.uint8)
    thumbnails = np.zeros((len(paths), SMALL_SIDE, SMALL_SIDE), dtype=np.uint8)
    looks = np.zeros((len(paths), len(Look._fields)), dtype=np.float32)
    facts = []
    with one_thread_each(), in_threads(lambda path: _inspect(root, path, finder), paths, threads) as inspected:
        for row, (fact, measured) in enumerate(progress(inspected, total=len(paths), phase="read", unit="files")):
            facts.append(fact)
            store.add(measured and measured.features)
            if measured is not None:
                _, spectra[row], borders[row], thumbnails[row], looks[row] = measured
    report_remarks({fact.path: fact.remark for fact in facts if fact.remark})
    return Inspection(facts, spectra, borders, thumbnails, looks)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let functions of OpenCV, torch and NumPy use a single thread, because several threads call them.

    Threads that share small pieces of work wait for each other, the more so where other programs use the cores.
    """
    from threadpoolctl import threadpool_limits

    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def _inspect(root: Path, path: str, finder: FaceFinder | None) -> tuple[FileFacts, _Measured | None]:
    content = b""
    try:
        content = read_bytes(root / path)
        decoded = decode_content(content, root / path)
    except UnreadableImageError as error:
        fault = str(error).removeprefix(f"{root / path}: ")
        return FileFacts(path, len(content), fault, format=format_of(content[:HEAD_BYTES]) or "unknown"), None
    image = decoded.image
    mean, deviation = (values.ravel() / 255 for values in cv2.meanStdDev(image))
    facts = FileFacts(
        path=path,
        size=len(content),
        digest=hashlib.sha256(content).hexdigest(),
        format=format_of(content[:HEAD_BYTES]) or "unknown",
        mode=_mode(content),
        damage=decoded.damage,
        remark=decoded.remark,
        width=image.shape[1],
        height=image.shape[0],
        pixel_digest=_pixel_digest(image),
        mean=tuple(mean.tolist()),
        deviation=tuple(deviation.tolist()),
        has_face=None if finder is None else finder.find(image).finding != "none",
    )
    return facts, _measure(image)


def _measure(image: np.ndarray) -> _Measured:
    thumbnail = grey_thumbnail(image)
    grey = thumbnail if max(image.shape[:2]) >= SIDE else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return _Measured(extract(thumbnail), spectrum(image), border(image), small_thumbnail(grey), look(image, grey))


def _pixel_digest(image: np.ndarray) -> str:
    digest = hashlib.sha256(struct.pack("2q", *image.shape[:2]))
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def _mode(content: bytes) -> str:
    """Return Pillow's name of an image's pixel format; empty if Pillow does not know the image's format."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as header:  # reads no pixels
            return header.mode
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError):  # UnidentifiedImageError is an OSError
        return ""


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
    """Return the colours along an image's border, uint8 [values], without the middle where the object is."""
    small = cv2.resize(image, (BORDER_SIDE, BORDER_SIDE), interpolation=cv2.INTER_AREA)
    is_border = np.ones((BORDER_SIDE, BORDER_SIDE), dtype=bool)
    is_border[BORDER_WIDTH:-BORDER_WIDTH, BORDER_WIDTH:-BORDER_WIDTH] = False
    return small[is_border].ravel()
