import dataclasses
import errno
import logging
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import cv2
import numpy as np
import pytest
import torch
from images import noisy_image, scene, write_image

from maskcls.config import EvalDataConfig
from maskcls.data import cache, image_files
from maskcls.data.cache import cached_images, open_images
from maskcls.data.decode import Decoded, UnreadableFilesError, decode_file, decode_image, resize_image
from maskcls.data.image_files import ImageFiles
from maskcls.data.streaming import StreamedImages
from maskcls.errors import UserError

HELP = "data.cache_dir=FOLDER or the environment variable MASKCLS_CACHE names another one"
PATHS = [f"A/{number}.png" for number in range(12)]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number, path in enumerate(PATHS):
        write_image(tmp_path / "set" / path, noisy_image(rng, masked=number % 2 == 0, height=20 + number, width=30))
    return tmp_path / "set"


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "some" / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that have been decoded, in the order of decoding."""
    files: list[Path] = []

    def decode(path: Path) -> Decoded:
        files.append(path)
        return decode_file(path)

    monkeypatch.setattr(image_files, "decode_file", decode)
    return files


def opened(root: Path, cache_dir: Path, paths: list[str] = PATHS, size: int = 16) -> np.ndarray:
    return cached_images(ImageFiles(root, paths, size), cache_dir, threads=2)


def expected(root: Path, paths: list[str], size: int) -> np.ndarray:
    return np.stack([resize_image(decode_image(root / path), size) for path in paths])


def kept(cache_dir: Path) -> list[str]:
    """Return the suffixes of the files in the cache, without locks."""
    return sorted(path.suffix for path in cache_dir.iterdir() if path.suffix != ".lock")


def in_processes(count: int, work: Callable[[], object]) -> list[int | None]:
    """Run ``work`` in ``count`` forked processes at the same time; return their exit codes."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(count)

    def start() -> None:
        torch.set_num_threads(1)  # a forked process lacks the threads of its parent
        barrier.wait(60)
        work()

    processes = [context.Process(target=start, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def test_holds_the_decoded_and_resized_images(root: Path, cache_dir: Path) -> None:
    images = opened(root, cache_dir)
    assert images.shape == (12, 16, 16, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, expected(root, PATHS, 16))
    assert kept(cache_dir) == [".npy"]


def test_images_are_in_the_order_asked_for(root: Path, cache_dir: Path) -> None:
    images = opened(root, cache_dir, PATHS[::-1])
    np.testing.assert_array_equal(images, expected(root, PATHS[::-1], 16))
    np.testing.assert_array_equal(opened(root, cache_dir), images[::-1])


def test_is_a_read_only_map_of_the_file(root: Path, cache_dir: Path) -> None:
    images = opened(root, cache_dir)
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_is_built_once(root: Path, cache_dir: Path, decoded: list[Path]) -> None:
    first = opened(root, cache_dir)
    assert sorted(decoded) == sorted(root / path for path in PATHS)
    decoded.clear()
    np.testing.assert_array_equal(opened(root, cache_dir), first)
    assert decoded == []


def test_changed_size_is_decoded_anew(root: Path, cache_dir: Path) -> None:
    opened(root, cache_dir)
    time = (root / PATHS[3]).stat().st_mtime_ns
    write_image(root / PATHS[3], np.full((50, 50, 3), 77, np.uint8))
    os.utime(root / PATHS[3], ns=(time, time))
    assert (opened(root, cache_dir)[3] == 77).all()


def test_changed_time_is_decoded_anew(root: Path, cache_dir: Path) -> None:
    for value in (10, 200):
        # both bitmaps have the same number of bytes
        write_image(root / "1.bmp", np.full((8, 8, 3), value, np.uint8))
        os.utime(root / "1.bmp", ns=(value, value))
        assert (opened(root, cache_dir, ["1.bmp"]) == value).all()


@pytest.mark.parametrize(("paths", "size"), [(PATHS, 24), (PATHS[:-1], 16), (PATHS[1:], 16)])
def test_other_images_and_sizes_are_kept_apart(root: Path, cache_dir: Path, paths: list[str], size: int) -> None:
    for _ in range(2):
        np.testing.assert_array_equal(opened(root, cache_dir), expected(root, PATHS, 16))
        np.testing.assert_array_equal(opened(root, cache_dir, paths, size), expected(root, paths, size))
    assert kept(cache_dir) == [".npy", ".npy"]


def test_data_sets_are_kept_apart(root: Path, cache_dir: Path, tmp_path: Path) -> None:
    for folder, value in (("one", 10), ("two", 200)):
        write_image(tmp_path / folder / "1.bmp", np.full((8, 8, 3), value, np.uint8))
        os.utime(tmp_path / folder / "1.bmp", ns=(0, 0))
        assert (opened(tmp_path / folder, cache_dir, ["1.bmp"]) == value).all()


def test_changed_transform_is_decoded_anew(
    root: Path, cache_dir: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(root, cache_dir)
    monkeypatch.setattr(image_files, "TRANSFORM_VERSION", image_files.TRANSFORM_VERSION + 1)
    opened(root, cache_dir)
    assert len(decoded) == 2 * len(PATHS)


@pytest.mark.parametrize("bad", [1, 3, 4])
def test_bad_files_are_counted_and_named(root: Path, cache_dir: Path, bad: int) -> None:
    for path in PATHS[5 : 5 + bad]:
        (root / path).write_text("no image")
    with pytest.raises(UserError) as caught:
        opened(root, cache_dir)
    named = "; ".join(f"{root / path}: a text file, not an image" for path in PATHS[5 : 5 + min(bad, 3)])
    assert str(caught.value) == (
        f"{bad} of 12 image files cannot be read; repair or remove them, or data.on_bad_image=skip leaves them out: "
        f"{named}{'; ...' if bad > 3 else ''}"
    )
    assert kept(cache_dir) == []


@pytest.mark.parametrize("damage", ["cut off", "empty", "no array", "another shape", "another type"])
def test_a_damaged_file_is_built_again(
    damage: str, root: Path, cache_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = opened(root, cache_dir).copy()
    (path,) = cache_dir.glob("*.npy")
    content = path.read_bytes()
    if damage.startswith("another"):
        np.save(path, expected[1:] if damage == "another shape" else expected.astype(np.int16))
    else:
        path.write_bytes({"cut off": content[:-100], "empty": b"", "no array": b"x" * 999}[damage])
    assert np.array_equal(opened(root, cache_dir), expected)
    assert f"{path}: damaged, decoding its images again" in caplog.text
    caplog.clear()
    opened(root, cache_dir)
    assert not caplog.text


def test_what_a_killed_builder_left_is_removed(root: Path, cache_dir: Path) -> None:
    opened(root, cache_dir)
    (name,) = (path.name for path in cache_dir.glob("*.npy"))
    (cache_dir / name).unlink()
    (cache_dir / f".{name}.123.tmp").touch()
    (cache_dir / ".other.npy.123.tmp").touch()  # another process may be writing this file
    opened(root, cache_dir)
    assert not (cache_dir / f".{name}.123.tmp").exists()
    assert (cache_dir / ".other.npy.123.tmp").exists()


def test_is_built_once_the_bad_file_is_repaired(root: Path, cache_dir: Path) -> None:
    content = (root / PATHS[0]).read_bytes()
    (root / PATHS[0]).write_bytes(b"")
    with pytest.raises(UserError, match=r"1 of 12 .*0\.png: the file is empty"):
        opened(root, cache_dir)
    (root / PATHS[0]).write_bytes(content)
    np.testing.assert_array_equal(opened(root, cache_dir), expected(root, PATHS, 16))


def test_missing_file_is_named(root: Path, cache_dir: Path) -> None:
    (root / PATHS[2]).unlink()
    (root / PATHS[2]).symlink_to(root / "nowhere.png")
    with pytest.raises(UnreadableFilesError, match=f"^1 of 12 .*: {root / PATHS[2]}: No such file or directory$"):
        opened(root, cache_dir)


@pytest.mark.parametrize("name", ["file", "file/cache"])
def test_cache_dir_that_cannot_be_made(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=f"^data.cache_dir={tmp_path / name}: cannot write in this folder: "):
        opened(root, tmp_path / name)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_cache_dir_that_cannot_be_written(root: Path, cache_dir: Path) -> None:
    cache_dir.mkdir(parents=True, mode=0o555)
    with pytest.raises(
        UserError, match=f"^data.cache_dir={cache_dir}: cannot write in this folder: Permission denied; {HELP}$"
    ):
        opened(root, cache_dir)


def test_lock_that_cannot_be_made(root: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(cache, "FileLock", refuse)
    with pytest.raises(
        UserError, match=f"^data.cache_dir={cache_dir}: cannot write in this folder: Read-only file system; {HELP}$"
    ):
        opened(root, cache_dir)


def test_built_cache_is_read_without_writing(root: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(root, cache_dir)
    monkeypatch.setattr(cache, "FileLock", None)
    monkeypatch.setattr(Path, "mkdir", None)
    np.testing.assert_array_equal(opened(root, cache_dir), expected(root, PATHS, 16))


def test_full_disk_is_an_error_that_leaves_nothing(root: Path, cache_dir: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (NEEDED // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            opened(root, cache_dir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(cache_dir)
    assert kept(cache_dir) == []


def test_file_is_what_numpy_writes(
    root: Path, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "CHUNK", 5)
    images = opened(root, cache_dir)
    np.save(tmp_path / "images.npy", images)
    (file,) = cache_dir.glob("*.npy")
    assert file.read_bytes() == (tmp_path / "images.npy").read_bytes()


def test_a_drive_that_is_missing_holds_no_cache(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: False)
    images = open_images(splits(root, 16), config(Path("Z:/none/cache"))).images
    assert all(isinstance(split, StreamedImages) for split in images.values())
    assert "data.cache_dir=Z:/none/cache: cannot write in this folder" in caplog.text


def test_threads_that_ask_at_once_build_once(root: Path, cache_dir: Path, decoded: list[Path]) -> None:
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(opened(root, cache_dir))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoded) == len(PATHS)
    assert len(results) == 4
    for images in results:
        np.testing.assert_array_equal(images, expected(root, PATHS, 16))


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_that_ask_at_once_build_once(
    root: Path, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = expected(root, PATHS, 16)
    counter = os.open(tmp_path / "decoded", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def decode(path: Path) -> Decoded:
        os.write(counter, f"{path.name}\n".encode())
        return decode_file(path)

    def ask() -> None:
        np.testing.assert_array_equal(opened(root, cache_dir), right)

    monkeypatch.setattr(image_files, "decode_file", decode)
    assert in_processes(4, ask) == [0, 0, 0, 0]
    os.close(counter)
    assert sorted((tmp_path / "decoded").read_text().split()) == sorted(Path(path).name for path in PATHS)
    assert kept(cache_dir) == [".npy"]


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_builder_does_not_disturb(root: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(path: Path) -> Decoded:
        if path.name == "5.png":
            os.kill(os.getpid(), signal.SIGKILL)
        return decode_file(path)

    with monkeypatch.context() as patch:
        patch.setattr(image_files, "decode_file", die)
        killed = in_processes(1, lambda: opened(root, cache_dir))
    assert killed == [-signal.SIGKILL]
    assert kept(cache_dir) == [".tmp"]
    np.testing.assert_array_equal(opened(root, cache_dir), expected(root, PATHS, 16))
    assert kept(cache_dir) == [".npy"]


SPLITS = {"train": PATHS[:8], "val": PATHS[8:]}
NEEDED = 12 * 16 * 16 * 3  # bytes of the images of both splits at 16 pixels


class Usage(NamedTuple):
    free: int


def splits(root: Path, size: int) -> dict[str, ImageFiles]:
    return {name: ImageFiles(root, paths, size) for name, paths in SPLITS.items()}


def config(cache_dir: Path, cache_gb: float | None = None, workers: int | None = 2) -> EvalDataConfig:
    given: dict[str, Any] = {"cache_dir": cache_dir, "cache_gb": cache_gb, "workers": workers, "on_bad_image": "error"}
    none: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(EvalDataConfig))
    return EvalDataConfig(**(none | given))


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[Path]]:
    """A function that sets the free bytes of all disks, and returns the folders whose disks are asked about."""

    def leave(count: int) -> list[Path]:
        asked: list[Path] = []

        def usage(folder: Path) -> Usage:
            asked.append(folder)
            return Usage(count)

        monkeypatch.setattr(shutil, "disk_usage", usage)
        return asked

    return leave


@pytest.mark.parametrize(("cache_gb", "cached"), [(NEEDED / 1e9, True), ((NEEDED - 1) / 1e9, False), (0.0, False)])
def test_images_are_cached_if_all_splits_fit(root: Path, cache_dir: Path, *, cache_gb: float, cached: bool) -> None:
    images = open_images(splits(root, 16), config(cache_dir, cache_gb)).images
    assert list(images) == ["train", "val"]
    for name, paths in SPLITS.items():
        assert isinstance(images[name], np.memmap if cached else StreamedImages)
        np.testing.assert_array_equal(images[name][:], expected(root, paths, 16))
    assert cache_dir.exists() == cached
    if cached:
        assert kept(cache_dir) == [".npy", ".npy"]


def test_images_in_the_cache_are_used_whatever_cache_gb_is(root: Path, cache_dir: Path) -> None:
    open_images(splits(root, 16), config(cache_dir, 1.0))
    images = open_images(splits(root, 16), config(cache_dir, 0.0)).images
    assert all(isinstance(split, np.memmap) for split in images.values())


@pytest.mark.parametrize(("spare", "cached"), [(0, True), (-1, False)])
def test_by_default_images_take_half_of_the_free_disk_at_most(
    root: Path, cache_dir: Path, free: Callable[[int], list[Path]], *, spare: int, cached: bool
) -> None:
    asked = free(2 * NEEDED + spare)
    images = open_images(splits(root, 16), config(cache_dir)).images
    assert [isinstance(split, np.memmap) for split in images.values()] == [cached] * 2
    assert asked == [cache_dir.parents[1]]  # the folder of the cache does not exist yet
    assert cache_dir.exists() == cached


def test_by_default_only_images_that_are_not_cached_need_room(
    root: Path, cache_dir: Path, free: Callable[[int], list[Path]]
) -> None:
    train, val = (len(paths) * 16 * 16 * 3 for paths in SPLITS.values())
    free(2 * train)
    open_images({"train": ImageFiles(root, SPLITS["train"], 16)}, config(cache_dir))
    asked = free(2 * val)
    images = open_images(splits(root, 16), config(cache_dir)).images
    assert [type(split) for split in images.values()] == [np.memmap] * 2
    assert asked == [cache_dir]
    free(0)
    assert [type(split) for split in open_images(splits(root, 16), config(cache_dir)).images.values()] == [
        np.memmap
    ] * 2
    assert type(open_images(splits(root, 24), config(cache_dir)).images["train"]) is StreamedImages


@pytest.mark.parametrize(
    ("cache_gb", "limit"), [(0.0, "data.cache_gb=0"), (None, "half of the disk space that is free")]
)
def test_streaming_is_logged_in_one_line(
    root: Path,
    cache_dir: Path,
    free: Callable[[int], list[Path]],
    cache_gb: float | None,
    limit: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    free(0)
    open_images(splits(root, 2000), config(cache_dir, cache_gb, workers=3))
    assert caplog.messages == [
        f"the images take 0.1 GB at 2000 pixels, more than {limit}: not cached, but decoded in 3 threads each time"
    ]


def test_a_split_without_images_always_fits(root: Path, cache_dir: Path) -> None:
    (images,) = open_images({"val": ImageFiles(root, [], 16)}, config(cache_dir, 0.0)).images.values()
    assert images[:].shape == (0, 16, 16, 3)


@pytest.mark.parametrize("cache_gb", [0.0, 1.0])
@pytest.mark.parametrize(("workers", "threads"), [(3, 3), (None, 5)])
def test_workers_are_the_threads_that_decode(
    root: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_gb: float,
    workers: int | None,
    threads: int,
) -> None:
    counts: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, count: int, **options: Any) -> None:
            counts.append(count)
            super().__init__(count, **options)

    monkeypatch.setattr(cache, "usable_cores", lambda: 5)
    monkeypatch.setattr("maskcls.cores.ThreadPoolExecutor", Pool)
    monkeypatch.setattr("maskcls.data.streaming.ThreadPoolExecutor", Pool)
    open_images(splits(root, 16), config(cache_dir, cache_gb, workers))
    # before images are streamed, another pool checks that they can be decoded
    assert counts == [threads] * (2 if cache_gb else 3)


@pytest.mark.parametrize("cache_gb", [None, 0.0])
def test_files_of_twelve_bits_that_do_not_say_so_are_one_line(
    root: Path, cache_dir: Path, cache_gb: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("1", "2"):
        image = scene(1, 24).astype(np.uint16) * 16
        (root / f"A/{name}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    open_images(splits(root, 16), config(cache_dir, cache_gb))
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "2 files: samples of sixteen bits whose values fit in twelve: nearly black unless multiplied by sixteen: "
        "A/1.png, A/2.png"
    ]


def test_nothing_is_cached_in_a_folder_that_cannot_be_written(
    root: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    images = open_images(splits(root, 16), config(cache_dir)).images
    assert all(isinstance(split, StreamedImages) for split in images.values())
    assert f"data.cache_dir={cache_dir}: cannot write in this folder, so nothing is cached; {HELP}" in caplog.text
    assert "the images take" not in caplog.text  # they would fit
    assert not cache_dir.exists() or kept(cache_dir) == []
    monkeypatch.undo()
    open_images(splits(root, 16), config(cache_dir))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    # images that are in the cache are read from it
    images = open_images(splits(root, 16), config(cache_dir)).images
    assert not any(isinstance(split, StreamedImages) for split in images.values())


def test_files_are_checked_again_only_after_a_change(
    root: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_dir.mkdir(parents=True)
    seen: list[Path] = []

    def decode(path: Path) -> Decoded:
        seen.append(path)
        return decode_file(path)

    monkeypatch.setattr(cache, "decode_file", decode)
    for _ in range(2):
        open_images(splits(root, 16), config(cache_dir, 0.0))
    count = sum(map(len, SPLITS.values()))
    assert len(seen) == count
    (root / SPLITS["train"][0]).write_bytes(b"changed")
    with pytest.raises(UnreadableFilesError) as caught:
        open_images(splits(root, 16), config(cache_dir, 0.0))
    assert set(caught.value.faults) == {SPLITS["train"][0]}
    assert len(seen) == 2 * count


@pytest.mark.parametrize("name", ["file", "file/cache"])
def test_cache_dir_that_cannot_be_made_is_refused_for_all_splits(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=f"^data.cache_dir={tmp_path / name}: cannot write in this folder: "):
        open_images(splits(root, 16), config(tmp_path / name))


def test_the_files_of_all_splits_that_cannot_be_read_are_named_together(root: Path, cache_dir: Path) -> None:
    bad = [paths[-1] for paths in SPLITS.values()]
    for path in bad:
        (root / path).unlink()
    with pytest.raises(UnreadableFilesError) as caught:
        open_images(splits(root, 16), config(cache_dir))
    assert set(caught.value.faults) == set(bad)
    assert str(caught.value).startswith(f"{len(bad)} of {sum(map(len, SPLITS.values()))} image files cannot be read")


def damage(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).write_bytes((root / path).read_bytes()[:-20])


@pytest.mark.parametrize("cache_gb", [None, 0.0])
def test_damaged_files_are_used_only_where_that_is_asked_for(
    root: Path, tmp_path: Path, cache_gb: float | None
) -> None:
    damage(root, PATHS[2], PATHS[5])
    error, use = config(tmp_path / "cache", cache_gb), replace(config(tmp_path / "cache", cache_gb), on_bad_image="use")
    files = {"train": ImageFiles(root, PATHS, 16)}
    with pytest.raises(UnreadableFilesError) as caught:
        open_images(files, error)
    assert caught.value.damaged == {PATHS[2], PATHS[5]} == caught.value.faults.keys()
    for _ in range(2):  # the second time from the cache
        opened, damaged = open_images(files, use)
        assert damaged == {path: f"{root / path}: cut off: its end is missing" for path in (PATHS[2], PATHS[5])}
        np.testing.assert_array_equal(opened["train"][:], expected(root, PATHS, 16))
    with pytest.raises(UnreadableFilesError) as caught:  # although they are in the cache now
        open_images(files, error)
    assert caught.value.damaged == {PATHS[2], PATHS[5]}
    whole = {"train": ImageFiles(root, [path for path in PATHS if path not in damaged], 16)}
    assert open_images(whole, error).damaged == open_images(whole, use).damaged == {}


def test_unreadable_files_are_never_used(root: Path, tmp_path: Path) -> None:
    damage(root, PATHS[2])
    (root / PATHS[5]).write_bytes(b"text")
    with pytest.raises(UnreadableFilesError) as caught:
        open_images({"train": ImageFiles(root, PATHS, 16)}, replace(config(tmp_path / "cache"), on_bad_image="use"))
    assert (set(caught.value.faults), caught.value.damaged) == ({PATHS[5]}, frozenset())


@pytest.mark.parametrize("cache_gb", [None, 0.0])
def test_what_is_odd_about_files_is_said_once_with_their_names(
    root: Path,
    tmp_path: Path,
    cache_gb: float | None,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    image = cv2.imencode(".jpg", scene(0, 40))[1].tobytes()
    for count, path in enumerate(PATHS[1:4]):
        (root / path).write_bytes(image[:-2] + bytes(9 + count) + image[-2:])
    files = ImageFiles(root, PATHS, 16)
    open_images({"train": files}, config(tmp_path / "cache", cache_gb))
    open_images({"train": replace(files, equalised_size=8)}, config(tmp_path / "cache", cache_gb))
    said = [message for message in caplog.messages if "Corrupt JPEG data" in message]
    assert len(said) == 1
    assert said[0].endswith(f": {', '.join(PATHS[1:4])}")
    assert said[0].startswith("3 files: the decoder says: Corrupt JPEG data: extraneous bytes before marker 0xd9: ")
    assert "Corrupt" not in capfd.readouterr().err
