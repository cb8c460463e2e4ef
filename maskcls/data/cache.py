"""Decode once: a split's images as one memory-mapped array of uint8, built in parallel and shared by all runs."""

import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from maskcls.config import DataConfig, EvalDataConfig
from maskcls.cores import in_threads, usable_cores
from maskcls.data.decode import Box, UnreadableFilesError, UnreadableImageError, decode_image, read_image
from maskcls.data.index import file_state
from maskcls.data.streaming import StreamedImages
from maskcls.errors import MACHINE_ERRORS, MachineError, UserError
from maskcls.files import remove_unfinished, replaced_atomically

log = logging.getLogger(__name__)

# change it when the pixels that decode.py returns change
TRANSFORM_VERSION = 1

# images that a thread decodes in one go
CHUNK = 32


def open_images(
    root: Path,
    splits: Mapping[str, Sequence[str]],
    size: int,
    config: DataConfig | EvalDataConfig,
    through: int | None = None,
    boxes: Mapping[str, Sequence[Box | None]] | None = None,
) -> dict[str, np.ndarray | StreamedImages]:
    """The images of each split, from the cache; decoded anew at each read where they are more than it may hold.

    Args:
        root: the folder that the paths of ``splits`` are relative to.
        size: pixels a side.
        config: ``cache_dir``, ``cache_gb`` and ``workers`` are looked at.
        through: as `maskcls.data.decode.read_image` takes it.
        boxes: what is cut out of each image, by split; None for the whole images.

    Raises:
        UnreadableFilesError: naming all files that cannot be read.
        UserError: as `cached_images` does.
    """
    boxes = boxes or {}
    threads = config.workers or usable_cores()
    missing = [
        paths
        for name, paths in splits.items()
        if not _file(root, paths, size, config.cache_dir, through, boxes.get(name)).exists()
    ]
    needed = sum(map(len, missing)) * size * size * 3
    existing = next(folder for folder in (config.cache_dir, *config.cache_dir.parents) if folder.exists())
    if missing and not os.access(existing, os.W_OK):
        budget, limit = -1.0, f"can be written to data.cache_dir={config.cache_dir}"
        log.warning("data.cache_dir=%s: cannot be written, so that nothing is cached", config.cache_dir)
    elif config.cache_gb is None:
        budget, limit = shutil.disk_usage(existing).free / 2, "half of the disk space that is free"
    else:
        budget, limit = config.cache_gb * 1e9, f"data.cache_gb={config.cache_gb:g}"
    if needed <= budget:
        cached: dict[str, np.ndarray | StreamedImages] = {}
        faults: dict[str, str] = {}
        for name, paths in splits.items():
            try:
                cached[name] = cached_images(root, paths, size, config.cache_dir, threads, through, boxes.get(name))
            except UnreadableFilesError as error:
                faults |= error.faults
        if faults:
            raise UnreadableFilesError(faults, sum(map(len, splits.values())))
        return cached
    log.info(
        "the images take %.1f GB at %d pixels, more than %s: not cached, but decoded in %d threads each time",
        needed / 1e9,
        size,
        limit,
        threads,
    )
    _require_readable(root, [path for paths in splits.values() for path in paths], config.cache_dir, threads)
    return {
        name: StreamedImages(root, paths, size, threads, through, boxes.get(name)) for name, paths in splits.items()
    }


def _require_readable(root: Path, paths: Sequence[str], cache_dir: Path, threads: int) -> None:
    """Decode files once to see whether they can be, before hours are spent on what breaks off; remember that they can.

    Raises:
        UnreadableFilesError: naming all that cannot.
    """
    mark = _file(root, paths, 0, cache_dir, None, None).with_suffix(".readable")
    if mark.exists():
        return

    def fault(path: str) -> str | None:
        try:
            decode_image(root / path)
        except UnreadableImageError as error:
            return str(error)
        return None

    with in_threads(fault, paths, threads) as results:
        bar = tqdm(results, total=len(paths), desc="check", unit=" images", leave=False, disable=None)
        faults = {path: found for path, found in zip(paths, bar, strict=True) if found is not None}
    if faults:
        raise UnreadableFilesError(faults, len(paths))
    with contextlib.suppress(OSError):  # it is checked again next time
        mark.touch()


def cached_images(
    root: Path,
    paths: Sequence[str],
    size: int,
    cache_dir: Path,
    threads: int | None = None,
    through: int | None = None,
    boxes: Sequence[Box | None] | None = None,
) -> np.ndarray:
    """The images of ``paths``, decoded and resized, from the cache; built there first where it is not.

    The cache's key is made of each file's path, size and time of change, and of the image size: a file that
    changed is decoded anew. When several processes ask at once, one builds and the others wait.

    Args:
        threads: that decode; None for one a core.
        through: as `maskcls.data.decode.read_image` takes it.
        boxes: what is cut out of each image; None for the whole images.

    Returns:
        uint8 [images, size, size, 3], memory-mapped, read-only.

    Raises:
        UserError: naming the files that cannot be read, or the folder that cannot be written.
    """
    path = _file(root, paths, size, cache_dir, through, boxes)
    shape = (len(paths), size, size, 3)
    images = _mapped(path, shape)
    if images is None:
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_suffix(".lock")).acquire()
        except OSError as error:
            if error.errno in MACHINE_ERRORS:
                raise
            raise UserError(f"data.cache_dir={cache_dir}: cannot write in this folder: {error.strerror}") from None
        with lock:
            images = _mapped(path, shape)
            if images is None:
                remove_unfinished(cache_dir, path.name)
                _build(path, root, paths, size, threads, through, boxes)
                images = _mapped(path, shape)
    if images is None:
        raise MachineError(f"{path}: damaged as soon as it was written")
    return images


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array that a file of the cache holds; None where there is none, or it is damaged."""
    if not path.exists():
        return None
    try:
        images: np.ndarray = np.load(path, mmap_mode="r")
    except (ValueError, EOFError):
        images = np.empty(0, dtype=np.uint8)
    if images.shape == shape and images.dtype == np.uint8:
        return images
    log.warning("%s: damaged, and built again", path)
    return None


def _file(
    root: Path,
    paths: Sequence[str],
    size: int,
    cache_dir: Path,
    through: int | None,
    boxes: Sequence[Box | None] | None,
) -> Path:
    pixels = f"{size}" if through is None else f"{through}-{size}"
    digest = hashlib.sha256(f"{TRANSFORM_VERSION} {pixels} {root}\n".encode(errors="surrogateescape"))
    for path in paths:
        size_and_time = "\0".join(map(str, file_state(root / path)))
        digest.update(f"{path}\0{size_and_time}\n".encode(errors="surrogateescape"))
    if boxes:
        digest.update(repr([box and tuple(box) for box in boxes]).encode())
    return cache_dir / f"{digest.hexdigest()[:32]}.npy"


def _build(
    path: Path,
    root: Path,
    paths: Sequence[str],
    size: int,
    threads: int | None,
    through: int | None,
    boxes: Sequence[Box | None] | None,
) -> None:
    shape = (len(paths), size, size, 3)
    log.info("decoding %d images to %d pixels into %s (%.0f MB)", len(paths), size, path, np.prod(shape) / 1e6)
    with replaced_atomically(path) as temporary:
        images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        _reserve(temporary)

        def fill(start: int) -> dict[str, str]:
            faults = {}
            for position in range(start, min(start + CHUNK, len(paths))):
                box = boxes[position] if boxes else None
                try:
                    images[position] = read_image(root / paths[position], size, through, box)
                except UnreadableImageError as error:
                    faults[paths[position]] = str(error)
            return faults

        faults: dict[str, str] = {}
        bar = tqdm(total=len(paths), desc="decode", unit="image", disable=None)
        with bar, in_threads(fill, range(0, len(paths), CHUNK), threads or usable_cores()) as results:
            for found in results:
                faults |= found
                bar.update(min(CHUNK, len(paths) - bar.n))
        if faults:
            raise UnreadableFilesError(faults, len(paths))
        images.flush()


def _reserve(path: Path) -> None:
    """Take the disk space now: a full disk is an error here, but would kill the process in a memory-mapped write."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
            except OSError as error:
                error.filename = str(path.parent)  # which disk is full
                raise
