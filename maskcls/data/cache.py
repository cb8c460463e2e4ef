"""Images that are decoded once: each split is a memory-mapped array of uint8 that all runs share."""

import contextlib
import functools
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock

from maskcls.config import DataConfig, EvalDataConfig
from maskcls.cores import ahead, in_threads, usable_cores
from maskcls.data.decode import Decoded, UnreadableFilesError, UnreadableImageError, decode_file
from maskcls.data.image_files import ImageFiles
from maskcls.data.readable import report_remarks
from maskcls.data.streaming import Images, StreamedImages
from maskcls.errors import MachineError, UserError, raise_machine_failure
from maskcls.files import remove_unfinished, replaced_atomically, write_json
from maskcls.progress import progress

log = logging.getLogger(__name__)

# where decoded images may be kept: the keys cache_dir, cache_gb and workers are used
Storage = DataConfig | EvalDataConfig
ANOTHER = "data.cache_dir=FOLDER or the environment variable MASKCLS_CACHE names another one"
# images that a thread decodes in one go
CHUNK = 32


class OpenedImages(NamedTuple):
    """The images of a data set.

    Attributes:
        images: the images of each split, uint8 [images, size, size, 3].
        damaged: what is wrong with each file that is used in part, by path.
    """

    images: dict[str, Images]
    damaged: dict[str, str]


@dataclass
class Notes:
    """What was noticed as files were decoded, by path.

    Attributes:
        faults: why a file cannot be read.
        damaged: why a file can be read in part only.
        remarks: what a reader of the log should know about a whole file.
    """

    faults: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    def read(self, path: str, file: Path, reader: Callable[[], Decoded]) -> np.ndarray | None:
        """Read an image, and note what is wrong with it. Threads may do so at once."""
        try:
            decoded = reader()
        except UnreadableImageError as error:
            self.faults[path] = str(error)
            return None
        if decoded.damage:
            self.damaged[path] = f"{file}: {decoded.damage}"
        if decoded.remark:
            self.remarks[path] = decoded.remark
        return decoded.image

    def check(self, count: int, *, use_damaged: bool) -> None:
        """Raise UnreadableFilesError if there are files, out of ``count``, that are not to be used."""
        bad = self.faults if use_damaged else self.faults | self.damaged
        if bad:
            # in the order of their names: threads finish in any order
            raise UnreadableFilesError(dict(sorted(bad.items())), count, self.damaged.keys() & bad.keys())


def open_images(files: Mapping[str, ImageFiles], storage: Storage) -> OpenedImages:
    """Open the images of each split: from the cache, or decoded at each read if the cache has no room for them.

    Raises:
        UnreadableFilesError: some files cannot be read, or are damaged and ``storage.on_bad_image`` is not ``use``; the
            error lists all of them.
        UserError: the folder of the cache cannot be made or written.
    """
    threads = storage.workers or usable_cores()
    use_damaged = storage.on_bad_image == "use"
    missing = [part for part in files.values() if not _cache_file(part, storage.cache_dir).exists()]
    needed = sum(int(np.prod(part.shape)) for part in missing)
    limit = _exceeded_limit(needed, storage) if missing else None
    if limit is None:
        return _open_cached(files, storage.cache_dir, threads, use_damaged=use_damaged)
    if limit:
        message = "the images take %.1f GB at %d pixels, more than %s: not cached, but decoded in %d threads each time"
        log.info(message, needed / 1e9, missing[0].size, limit, threads)
    damaged = _require_readable(files, storage.cache_dir, threads, use_damaged=use_damaged)
    streamed = {name: StreamedImages(part, threads=threads, damaged=damaged) for name, part in files.items()}
    return OpenedImages({**streamed}, damaged)


def _exceeded_limit(needed: int, storage: Storage) -> str | None:
    """Name the limit that keeps ``needed`` bytes out of the cache; None for none, empty if it is logged already."""
    folder = storage.cache_dir
    # none of them exists on a drive that is missing
    existing = next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)
    if not os.access(existing, os.W_OK):
        log.warning("data.cache_dir=%s: cannot write in this folder, so nothing is cached; %s", folder, ANOTHER)
        return ""
    if storage.cache_gb is None:
        is_exceeded, limit = needed > shutil.disk_usage(existing).free / 2, "half of the disk space that is free"
    else:
        is_exceeded, limit = needed > storage.cache_gb * 1e9, f"data.cache_gb={storage.cache_gb:g}"
    return limit if is_exceeded else None


def _open_cached(files: Mapping[str, ImageFiles], cache_dir: Path, threads: int, *, use_damaged: bool) -> OpenedImages:
    images: dict[str, Images] = {}
    damaged: dict[str, str] = {}
    faults: dict[str, str] = {}
    faulty: set[str] = set()
    for name, part in files.items():
        try:
            images[name] = cached_images(part, cache_dir, threads=threads, use_damaged=use_damaged)
        except UnreadableFilesError as error:
            faults |= error.faults
            faulty |= error.damaged
        else:
            damaged |= _damaged(_cache_file(part, cache_dir))
    if faults:
        raise UnreadableFilesError(faults, sum(map(len, files.values())), faulty)
    return OpenedImages(images, damaged)


def _require_readable(
    files: Mapping[str, ImageFiles], cache_dir: Path, threads: int, *, use_damaged: bool
) -> dict[str, str]:
    """Decode each file once, so that a bad one is found before hours of training; remember the result.

    Returns:
        What is wrong with each damaged file, by path.

    Raises:
        UnreadableFilesError: some files cannot be read, or are damaged and not to be used; the error lists all of them.
    """
    # size 0 stands for all sizes: a file can be decoded or not, whatever is done to the image afterwards
    keys = [
        replace(part, size=0, equalised_size=None, boxes=None, resize="squeeze").cache_key() for part in files.values()
    ]
    marks = [cache_dir / f"{key}.readable" for key in keys]
    notes, count = Notes(), sum(map(len, files.values()))
    if all(mark.exists() for mark in marks):
        for mark in marks:
            notes.damaged |= _damaged(mark)
        notes.check(count, use_damaged=use_damaged)
        return notes.damaged
    pairs = [(part.root, path) for part in files.values() for path in part.paths]

    def read(pair: tuple[Path, str]) -> None:
        file = pair[0] / pair[1]
        notes.read(pair[1], file, lambda: decode_file(file))

    with in_threads(read, pairs, threads) as results:
        for _ in progress(results, total=count, phase="check"):
            pass
    notes.check(count, use_damaged=use_damaged)
    if any(part.equalised_size is None for part in files.values()):  # otherwise the same files were decoded before
        report_remarks(notes.remarks)
    with contextlib.suppress(OSError):  # without the marks the files are checked again next time
        for mark, part in zip(marks, files.values(), strict=True):
            _write_damaged(mark, {path: notes.damaged[path] for path in part.paths if path in notes.damaged})
            mark.touch()
    return notes.damaged


def cached_images(files: ImageFiles, cache_dir: Path, *, threads: int, use_damaged: bool = False) -> np.ndarray:
    """Open the decoded and prepared images in the cache; decode them first if they are not there.

    The name of a file in the cache is `ImageFiles.cache_key`, so images are decoded again when one of their files has
    changed. If several processes ask for the same images at once, one decodes them and the others wait.

    Args:
        use_damaged: take what is left of damaged files.

    Returns:
        uint8 [images, size, size, 3], memory-mapped and read-only.

    Raises:
        UnreadableFilesError: some files cannot be read, or are damaged and not to be used; the error lists all of them.
        UserError: the folder of the cache cannot be made or written.
    """
    path = _cache_file(files, cache_dir)
    images = _mapped(path, files.shape)
    if images is None:
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_suffix(".lock")).acquire()
        except OSError as error:
            raise_machine_failure(error, cache_dir)
            fault = f"cannot write in this folder: {error.strerror}"
            raise UserError(f"data.cache_dir={cache_dir}: {fault}; {ANOTHER}") from None
        with lock:
            images = _mapped(path, files.shape)
            if images is None:
                remove_unfinished(cache_dir, path.name)
                _build(path, files, threads, use_damaged=use_damaged)
                images = _mapped(path, files.shape)
    if images is None:
        raise MachineError(f"{path}: damaged right after it was written")
    Notes(damaged=_damaged(path)).check(len(files), use_damaged=use_damaged)
    return images


def _cache_file(files: ImageFiles, cache_dir: Path) -> Path:
    return cache_dir / f"{files.cache_key()}.npy"


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Map a file of the cache into memory; None if the file is missing or damaged."""
    if not path.exists():
        return None
    try:
        images: np.ndarray = np.load(path, mmap_mode="r")
    except (ValueError, EOFError):
        images = np.empty(0, dtype=np.uint8)
    if images.shape == shape and images.dtype == np.uint8:
        return images
    log.warning("%s: damaged, decoding its images again", path)
    return None


def _damaged(path: Path) -> dict[str, str]:
    """Return what is wrong with the damaged files among those of a file in the cache, by path."""
    note = path.with_suffix(".damaged.json")
    return dict(json.loads(note.read_text(encoding="utf-8"))) if note.exists() else {}


def _write_damaged(path: Path, damaged: dict[str, str]) -> None:
    note = path.with_suffix(".damaged.json")
    note.unlink(missing_ok=True)
    if damaged:
        write_json(note, damaged)


def _build(path: Path, files: ImageFiles, threads: int, *, use_damaged: bool) -> None:
    shape = files.shape
    images_to = "image to" if len(files) == 1 else "images to"
    message = "decoding %d %s %d pixels into %s (%.0f MB)"
    log.info(message, len(files), images_to, files.size, path, np.prod(shape) / 1e6)
    notes = Notes()

    def decode(start: int) -> np.ndarray:
        chunk = np.zeros((min(CHUNK, len(files) - start), *shape[1:]), dtype=np.uint8)
        for place, position in enumerate(range(start, start + len(chunk))):
            name = files.paths[position]
            image = notes.read(name, files.root / name, functools.partial(files.read, position))
            if image is not None:
                chunk[place] = image
        return chunk

    decoding = ahead(decode, range(0, len(files), CHUNK), threads, threads=threads, name="decode")
    with contextlib.closing(decoding) as chunks, replaced_atomically(path) as temporary:
        _write_array(temporary, shape, progress(chunks, total=len(files), phase="decode", size=CHUNK))
        notes.check(len(files), use_damaged=use_damaged)
        if files.equalised_size is None:  # as above
            report_remarks(notes.remarks)
        _write_damaged(path, notes.damaged)  # before the images appear


def _write_array(path: Path, shape: tuple[int, ...], chunks: Iterable[np.ndarray]) -> None:
    """Write an array of uint8 that is given in parts, as NumPy stores it.

    Not through a memory map: a full disk would kill the process, and Windows does not rename a file that is mapped.
    """
    try:
        with path.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for chunk in chunks:
                file.write(chunk.data)
    except OSError as error:
        error.filename = error.filename or str(path.parent)  # the folder says which disk is full
        raise
