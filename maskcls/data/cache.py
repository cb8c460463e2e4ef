"""Images that are decoded once: each split is a memory-mapped array of uint8 that all runs share."""

import contextlib
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from maskcls.config import DataConfig, EvalDataConfig
from maskcls.cores import in_threads, usable_cores
from maskcls.data.decode import UnreadableFilesError, UnreadableImageError, decode_image
from maskcls.data.image_files import ImageFiles
from maskcls.data.streaming import Images, StreamedImages
from maskcls.errors import MACHINE_ERRORS, MachineError, UserError
from maskcls.files import remove_unfinished, replaced_atomically

log = logging.getLogger(__name__)

# where decoded images may be kept: the keys cache_dir, cache_gb and workers are used
Storage = DataConfig | EvalDataConfig
# images that a thread decodes in one go
CHUNK = 32


def open_images(files: Mapping[str, ImageFiles], storage: Storage) -> dict[str, Images]:
    """Open the images of each split: from the cache, or decoded at each read if the cache has no room for them.

    Returns:
        The images of each split, uint8 [images, size, size, 3].

    Raises:
        UnreadableFilesError: some files cannot be read; the error lists all of them.
        UserError: the folder of the cache cannot be made or written.
    """
    threads = storage.workers or usable_cores()
    missing = [part for part in files.values() if not _cache_file(part, storage.cache_dir).exists()]
    needed = sum(int(np.prod(part.shape)) for part in missing)
    limit = _exceeded_limit(needed, storage) if missing else None
    if limit is None:
        return _open_cached(files, storage.cache_dir, threads)
    message = "the images take %.1f GB at %d pixels, more than %s: not cached, but decoded in %d threads each time"
    log.info(message, needed / 1e9, missing[0].size, limit, threads)
    _require_readable(files, storage.cache_dir, threads)
    return {name: StreamedImages(part, threads=threads) for name, part in files.items()}


def _exceeded_limit(needed: int, storage: Storage) -> str | None:
    """Name the limit that keeps ``needed`` bytes out of the cache, for the log; None if there is none."""
    folder = storage.cache_dir
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        log.warning("data.cache_dir=%s: cannot write in this folder, so nothing is cached", folder)
        return f"can be written to data.cache_dir={folder}"
    if storage.cache_gb is None:
        is_exceeded, limit = needed > shutil.disk_usage(existing).free / 2, "half of the disk space that is free"
    else:
        is_exceeded, limit = needed > storage.cache_gb * 1e9, f"data.cache_gb={storage.cache_gb:g}"
    return limit if is_exceeded else None


def _open_cached(files: Mapping[str, ImageFiles], cache_dir: Path, threads: int) -> dict[str, Images]:
    images: dict[str, Images] = {}
    faults: dict[str, str] = {}
    for name, part in files.items():
        try:
            images[name] = cached_images(part, cache_dir, threads=threads)
        except UnreadableFilesError as error:
            faults |= error.faults
    if faults:
        raise UnreadableFilesError(faults, sum(map(len, files.values())))
    return images


def _require_readable(files: Mapping[str, ImageFiles], cache_dir: Path, threads: int) -> None:
    """Decode each file once, so that a bad one is found before hours of training; remember the result.

    Raises:
        UnreadableFilesError: some files cannot be read; the error lists all of them.
    """
    # size 0 stands for all sizes: a file can be decoded or not, whatever is done to the image afterwards
    keys = [replace(part, size=0, equalised_size=None, boxes=None).cache_key() for part in files.values()]
    marks = [cache_dir / f"{key}.readable" for key in keys]
    if all(mark.exists() for mark in marks):
        return
    pairs = [(part.root, path) for part in files.values() for path in part.paths]

    def fault(pair: tuple[Path, str]) -> str | None:
        root, path = pair
        try:
            decode_image(root / path)
        except UnreadableImageError as error:
            return str(error)
        return None

    with in_threads(fault, pairs, threads) as results:
        bar = tqdm(results, total=len(pairs), desc="check", unit=" images", leave=False, disable=None)
        faults = {path: found for (_, path), found in zip(pairs, bar, strict=True) if found is not None}
    if faults:
        raise UnreadableFilesError(faults, len(pairs))
    with contextlib.suppress(OSError):  # without the marks the files are checked again next time
        for mark in marks:
            mark.touch()


def cached_images(files: ImageFiles, cache_dir: Path, *, threads: int) -> np.ndarray:
    """Open the decoded and prepared images in the cache; decode them first if they are not there.

    The name of a file in the cache is `ImageFiles.cache_key`, so images are decoded again when one of their files has
    changed. If several processes ask for the same images at once, one decodes them and the others wait.

    Returns:
        uint8 [images, size, size, 3], memory-mapped and read-only.

    Raises:
        UnreadableFilesError: some files cannot be read; the error lists all of them.
        UserError: the folder of the cache cannot be made or written.
    """
    path = _cache_file(files, cache_dir)
    images = _mapped(path, files.shape)
    if images is None:
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_suffix(".lock")).acquire()
        except OSError as error:
            if error.errno in MACHINE_ERRORS:
                raise
            raise UserError(f"data.cache_dir={cache_dir}: cannot write in this folder: {error.strerror}") from None
        with lock:
            images = _mapped(path, files.shape)
            if images is None:
                remove_unfinished(cache_dir, path.name)
                _build(path, files, threads)
                images = _mapped(path, files.shape)
    if images is None:
        raise MachineError(f"{path}: damaged right after it was written")
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


def _build(path: Path, files: ImageFiles, threads: int) -> None:
    shape = files.shape
    log.info("decoding %d images to %d pixels into %s (%.0f MB)", len(files), files.size, path, np.prod(shape) / 1e6)
    with replaced_atomically(path) as temporary:
        images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        _reserve(temporary)

        def fill(start: int) -> dict[str, str]:
            faults = {}
            for position in range(start, min(start + CHUNK, len(files))):
                try:
                    images[position] = files.read(position)
                except UnreadableImageError as error:
                    faults[files.paths[position]] = str(error)
            return faults

        faults: dict[str, str] = {}
        bar = tqdm(total=len(files), desc="decode", unit="image", disable=None)
        with bar, in_threads(fill, range(0, len(files), CHUNK), threads) as results:
            for found in results:
                faults |= found
                bar.update(min(CHUNK, len(files) - bar.n))
        if faults:
            raise UnreadableFilesError(faults, len(files))
        images.flush()


def _reserve(path: Path) -> None:
    """Take the disk space now: if the disk were full later, a write through the memory map would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
            except OSError as error:
                error.filename = str(path.parent)  # the folder says which disk is full
                raise
