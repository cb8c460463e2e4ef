"""Images that are made of faces: what they are made of, in which order, and what is refused."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest

from maskcls.data.decode import UnreadableImageError
from maskcls.data.image_files import ImageFiles
from maskcls.data.made import MadeFaces


@dataclass(frozen=True)
class Painted(MadeFaces):
    """Images of one colour, which is drawn, below a first row that holds the landmarks of the file."""

    version: ClassVar[int] = 1

    def changed(self, rng: np.random.Generator, image: np.ndarray, position: int) -> np.ndarray:
        painted = np.full_like(image, rng.integers(256))
        painted[0] = self.landmarks[position, 0, 0]
        return painted

    def cache_key(self) -> str:
        return self.hashed("painted", self.landmarks)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((8, 8, 3), 90, np.uint8))
    return tmp_path


def painted(folder: Path, names: str) -> Painted:
    landmarks = np.stack([np.full((5, 2), float(ord(name))) for name in names])
    return Painted(folder, [f"{name}.png" for name in names], 8, landmarks=landmarks)


def test_an_image_depends_on_its_own_file_alone(folder: Path) -> None:
    a, b, c = (painted(folder, "abc").read(position).image for position in range(3))
    assert [image[0, 0, 0] for image in (a, b, c)] == [ord(name) for name in "abc"]
    assert len({int(image[7, 7, 0]) for image in (a, b, c)}) == 3
    assert np.array_equal(painted(folder, "cb").read(0).image, c)


def test_an_image_is_resized_after_it_was_changed(folder: Path) -> None:
    small = Painted(folder, ["a.png"], 4, landmarks=np.zeros((1, 5, 2)))
    assert small.shape == (1, 4, 4, 3)
    assert small.read(0).image.shape == (4, 4, 3)
    assert small.read(0).image[3, 3] == pytest.approx(painted(folder, "a").read(0).image[7, 7])


def test_the_key_depends_on_the_files_the_text_and_the_arrays(folder: Path) -> None:
    one = painted(folder, "ab")
    keys = {one.cache_key(), painted(folder, "ba").cache_key(), painted(folder, "a").cache_key()}
    keys |= {one.hashed("other", one.landmarks), one.hashed("painted", one.landmarks + 1)}
    keys.add(ImageFiles(folder, one.paths, 8).cache_key())
    assert len(keys) == 6
    assert one.cache_key() == painted(folder, "ab").cache_key()


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "b.png").write_bytes(b"nothing")
    with pytest.raises(UnreadableImageError, match=r"b\.png"):
        painted(folder, "ab").read(1)
