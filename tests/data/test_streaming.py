"""Images that are decoded at each read: equal to those of the cache; a bad file is never replaced by another."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from images import noisy_image, write_image

from maskcls.data import image_files
from maskcls.data.cache import cached_images
from maskcls.data.decode import Decoded, decode_file
from maskcls.data.image_files import ImageFiles
from maskcls.data.statistics import measure
from maskcls.data.streaming import StreamedImages
from maskcls.errors import UserError

COUNT = 12
PATHS = [f"A/{number}.png" for number in range(COUNT)]
Positions = int | slice | np.ndarray


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number, path in enumerate(PATHS):
        write_image(tmp_path / "set" / path, noisy_image(rng, masked=number % 2 == 0, height=20 + number, width=30))
    return tmp_path / "set"


@pytest.fixture
def cached(root: Path, tmp_path: Path) -> np.ndarray:
    return cached_images(ImageFiles(root, PATHS, 16), tmp_path / "cache", threads=2)


@pytest.fixture
def streamed(root: Path) -> Iterator[StreamedImages]:
    images = StreamedImages(ImageFiles(root, PATHS, 16), threads=2)
    yield images
    images.pool.shutdown()


@pytest.mark.parametrize(
    "positions",
    [
        0,
        11,
        -1,
        np.int64(3),
        slice(None),
        slice(2, 5),
        slice(8, 100),
        slice(None, None, -3),
        slice(5, 5),
        np.array([7]),
        np.array([3, 1, 3, -2]),
        np.array([], dtype=np.int64),
        np.arange(COUNT) % 3 == 1,
    ],
    ids=str,
)
def test_reads_as_the_cache_does(streamed: StreamedImages, cached: np.ndarray, positions: Positions) -> None:
    images = streamed[positions]
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, cached[positions])


@pytest.mark.parametrize("position", [COUNT, -COUNT - 1, np.array([0, COUNT])], ids=str)
def test_a_position_beyond_the_last_is_refused(streamed: StreamedImages, position: Positions) -> None:
    with pytest.raises(IndexError, match="out of bounds"):
        streamed[position]


def test_has_as_many_images_as_paths(streamed: StreamedImages) -> None:
    assert len(streamed) == COUNT


def test_what_is_done_to_the_images_does_not_come_back(streamed: StreamedImages, cached: np.ndarray) -> None:
    streamed[:3][:] = 0
    np.testing.assert_array_equal(streamed[:3], cached[:3])


def test_each_read_decodes_anew_and_only_what_is_asked_for(
    streamed: StreamedImages, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[Path] = []

    def decode(path: Path) -> Decoded:
        files.append(path)
        return decode_file(path)

    monkeypatch.setattr(image_files, "decode_file", decode)
    for _ in range(2):
        streamed[np.array([4, 1])]
    assert sorted(files) == sorted([root / PATHS[1], root / PATHS[4]] * 2)


def test_images_are_decoded_in_several_threads_at_once(
    streamed: StreamedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier = threading.Barrier(2)  # one thread alone cannot pass it

    def decode(path: Path) -> Decoded:
        barrier.wait(60)
        return decode_file(path)

    monkeypatch.setattr(image_files, "decode_file", decode)
    assert streamed[:].shape == (COUNT, 16, 16, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), (b"", "the file is empty"), (b"no image", "a text file, not an image")],
)
def test_a_file_that_cannot_be_read_is_named(
    streamed: StreamedImages, root: Path, content: bytes | None, reason: str
) -> None:
    if content is None:
        (root / PATHS[5]).unlink()
    else:
        (root / PATHS[5]).write_bytes(content)
    with pytest.raises(UserError) as caught:
        streamed[:]
    assert str(caught.value) == f"an image file cannot be read, repair or remove it: {root / PATHS[5]}: {reason}"
    assert streamed[:5].shape == (5, 16, 16, 3)


def test_is_read_once_the_bad_file_is_repaired(streamed: StreamedImages, root: Path, cached: np.ndarray) -> None:
    content = (root / PATHS[0]).read_bytes()
    (root / PATHS[0]).write_bytes(content[:100])
    with pytest.raises(UserError, match="cut off: its end is missing"):
        streamed[0]
    (root / PATHS[0]).write_bytes(content)
    np.testing.assert_array_equal(streamed[0], cached[0])


def test_another_failure_is_no_fault_of_the_file(streamed: StreamedImages, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> Decoded:
        raise MemoryError

    monkeypatch.setattr(image_files, "decode_file", fail)
    with pytest.raises(MemoryError):
        streamed[3]


def test_statistics_are_those_of_the_cache(streamed: StreamedImages, cached: np.ndarray) -> None:
    assert measure(streamed, chunk=5) == measure(cached, chunk=5)


def test_a_file_that_is_damaged_later_is_not_used_in_silence(root: Path, streamed: StreamedImages) -> None:
    path = root / PATHS[2]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=f"{path}: cut off: its end is missing$"):
        streamed[2]
    known = StreamedImages(streamed.files, threads=1, damaged=[PATHS[2]])
    assert known[2].shape == (16, 16, 3)
    known.pool.shutdown()
