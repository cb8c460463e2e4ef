"""Image files and their preparation: what is read, and what the key of the cache depends on."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import scene, write_image

from maskcls.data import image_files
from maskcls.data.cache import cached_images
from maskcls.data.decode import Box, UnreadableImageError, prepare_image
from maskcls.data.image_files import ImageFiles
from maskcls.data.streaming import StreamedImages

PATHS = ["A/0.png", "A/1.png", "B/2.png"]
BOXES = [Box(0, 0, 20), None, Box(10, 10, 25)]


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    """Three images whose files all have the time of change 0."""
    for number, path in enumerate(PATHS):
        write_image(tmp_path / path, scene(number, 40))
        os.utime(tmp_path / path, ns=(0, 0))
    return ImageFiles(tmp_path, PATHS, 16)


def test_an_image_is_prepared_as_asked_for(files: ImageFiles) -> None:
    np.testing.assert_array_equal(files.read(2).image, prepare_image(scene(2, 40), 16))
    other = replace(files, size=24, equalised_size=8, boxes=BOXES)
    for position, box in enumerate(BOXES):
        expected = prepare_image(scene(position, 40), 24, equalised_size=8, box=box)
        np.testing.assert_array_equal(other.read(position).image, expected)


def test_a_file_that_is_no_image_is_named(files: ImageFiles) -> None:
    (files.root / PATHS[1]).write_text("no image")
    with pytest.raises(UnreadableImageError, match=f"^{files.root / PATHS[1]}: a text file, not an image$"):
        files.read(1)


def test_the_shape_is_that_of_all_images_together(files: ImageFiles) -> None:
    assert len(files) == 3
    assert files.shape == (3, 16, 16, 3)


def test_cached_and_streamed_images_are_cut_out_each_by_its_own_box(files: ImageFiles, tmp_path: Path) -> None:
    cut = replace(files, boxes=BOXES)
    expected = np.stack([prepare_image(scene(i, 40), 16, box=box) for i, box in enumerate(BOXES)])
    whole = cached_images(files, tmp_path / "cache", threads=2)
    np.testing.assert_array_equal(cached_images(cut, tmp_path / "cache", threads=2), expected)
    assert not (whole[0] == expected[0]).all()
    assert (whole[1] == expected[1]).all()
    streamed = StreamedImages(cut, threads=2)
    np.testing.assert_array_equal(streamed[np.array([2, 0, 1])], expected[[2, 0, 1]])
    streamed.pool.shutdown()


def test_the_cache_key_of_earlier_versions_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "TRANSFORM_VERSION", 2)
    root = Path("/nowhere")  # missing files all have the same size and time
    files = ImageFiles(root, ["A/0.png", "A/\udcff.png"], 32)
    keys = [part.cache_key() for part in (files, replace(files, equalised_size=16), replace(files, boxes=BOXES[:2]))]
    assert keys == [
        "d914fbd9180febea51398acae25d3914",
        "2d56109dbc2b23014e5d8733ebb178c3",
        "bb33b815a3288b2a984332e98c667171",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 24},
        {"equalised_size": 16},
        {"boxes": BOXES},
        {"boxes": [None, *BOXES[1:]]},
        {"paths": PATHS[:2]},
        {"paths": PATHS[::-1]},
        {"root": Path("/nowhere")},
        {"resize": "crop"},
        {"resize": "pad"},
    ],
    ids=str,
)
def test_the_cache_key_depends_on_the_preparation(files: ImageFiles, changes: dict[str, Any]) -> None:
    assert replace(files, **changes).cache_key() != files.cache_key()
    assert replace(files).cache_key() == files.cache_key()


def test_the_cache_key_depends_on_size_and_time_of_the_files(files: ImageFiles) -> None:
    keys = {files.cache_key()}
    os.utime(files.root / PATHS[0], ns=(1, 1))
    keys.add(files.cache_key())
    (files.root / PATHS[0]).write_bytes(b"")
    os.utime(files.root / PATHS[0], ns=(1, 1))
    keys.add(files.cache_key())
    assert len(keys) == 3


def test_the_cache_key_depends_on_the_transform(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files.cache_key()
    monkeypatch.setattr(image_files, "TRANSFORM_VERSION", image_files.TRANSFORM_VERSION + 1)
    assert files.cache_key() != before
