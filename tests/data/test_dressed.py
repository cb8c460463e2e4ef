"""Training images with a drawn mask or an obstacle: what they depend on, and their place in the cache."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from configuration import small
from data.test_worn import face, landmarks

from maskcls.data import dressed
from maskcls.data.cache import cached_images
from maskcls.data.decode import UnreadableImageError
from maskcls.data.dressed import DressedFaces, cached_landmarks
from maskcls.data.image_files import ImageFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the face of the tests of masks as a.png, b.png and c.png."""
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.cvtColor(face(), cv2.COLOR_RGB2BGR))
    return tmp_path


def faces(folder: Path, names: str = "abc", dress: dressed.Dress = "mask") -> DressedFaces:
    paths = [f"{name}.png" for name in names]
    return DressedFaces(folder, paths, 40, dress=dress, landmarks=np.stack([landmarks()] * len(paths)))


def test_a_drawing_depends_on_the_name_of_the_file_alone(folder: Path) -> None:
    images = [faces(folder).read(position).image for position in range(3)]
    assert images[0].shape == (40, 40, 3)
    assert not np.array_equal(images[0], images[1])
    assert np.array_equal(images[2], faces(folder, "cb").read(0).image)


def test_masks_and_obstacles_differ_from_the_face(folder: Path) -> None:
    bare = ImageFiles(folder, ["a.png"], 40).read(0).image
    mask, obstacle = (faces(folder, "a", dress).read(0).image for dress in ("mask", "obstacle"))
    assert not np.array_equal(mask, bare)
    assert not np.array_equal(obstacle, bare)
    assert not np.array_equal(mask, obstacle)


def test_the_cache_tells_drawings_from_each_other_and_from_the_files(folder: Path) -> None:
    mask, obstacle = faces(folder), faces(folder, dress="obstacle")
    moved = dataclasses.replace(mask, landmarks=mask.landmarks + 1)
    keys = {each.cache_key() for each in (mask, obstacle, moved, ImageFiles(folder, mask.paths, 40))}
    assert len(keys) == 4
    images = cached_images(mask, folder / "cache", threads=2)
    assert np.array_equal(images[1], mask.read(1).image)


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "b.png").write_bytes(b"nothing")
    with pytest.raises(UnreadableImageError, match=r"b\.png"):
        faces(folder).read(1)


def test_landmarks_are_looked_for_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "detector").write_bytes(b"a detector")
    found = np.stack([landmarks(), np.full((5, 2), np.nan)])
    calls = []

    def find(*arguments: object) -> np.ndarray:
        calls.append(arguments)
        return found

    monkeypatch.setattr(dressed, "find_landmarks", find)
    monkeypatch.setattr(dressed, "FaceFinder", lambda model, always_crop, key: model)

    storage = small(folder, f"data.cache_dir={folder / 'cache'}").data

    def look(names: tuple[str, ...] = ("a.png", "b.png")) -> np.ndarray:
        return cached_landmarks(folder, names, folder / "detector", storage)

    assert np.array_equal(look(), found, equal_nan=True)
    assert np.array_equal(look(), found, equal_nan=True)
    assert len(calls) == 1
    (stored,) = (folder / "cache").glob("*.landmarks.npy")
    stored.write_bytes(b"damaged")
    look()
    look(("a.png", "c.png"))
    (folder / "detector").write_bytes(b"another detector")
    look()
    assert len(calls) == 4
