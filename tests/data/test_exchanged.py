"""Faces with the lower half of another face: where it is, in which light, and what it depends on."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from data.test_worn import SCALE, SIDE, SKIN, changed, face, landmarks

from maskcls.data import exchanged as exchanged_faces
from maskcls.data.exchanged import ExchangedFaces, PosedFace, exchange_lower_half
from maskcls.data.image_files import ImageFiles
from maskcls.data.made import FoundFaces
from maskcls.data.worn import pose_of

GREEN, RED = (40, 160, 60), (200, 30, 30)


def masked(colour: tuple[int, int, int] = GREEN, light: float = 1.0) -> PosedFace:
    """The head of the tests of masks, with a mask of one colour below its eyes."""
    image = face()
    image[round(SIDE / 2 + 0.1 * SCALE) :] = colour
    return PosedFace(np.clip(image * light, 0, 255).astype(np.uint8), pose_of(landmarks()))


def exchanged(other: PosedFace, seed: int = 0) -> np.ndarray:
    return exchange_lower_half(np.random.default_rng(seed), PosedFace(face(), pose_of(landmarks())), other)


@pytest.mark.parametrize("seed", range(5))
def test_the_lower_half_of_the_face_changes_and_nothing_else(seed: int) -> None:
    image = exchanged(masked(), seed)
    where = changed(image)
    assert where[:, 1].min() > 0
    assert where[:, 1].max() < 1.45
    assert np.abs(where[:, 0]).max() < 1.05
    for x, y in ((0, 0.3), (-0.4, 0.5), (0.4, 0.5), (0, 0.9)):  # nose, cheeks and chin
        pixel = image[round(SIDE / 2 + y * SCALE), round(SIDE / 2 + x * SCALE)]
        assert pixel == pytest.approx(GREEN, abs=3)


def test_a_face_that_is_larger_and_tilted_fits() -> None:
    large = cv2.resize(masked().image, (SIDE * 2, SIDE * 2), interpolation=cv2.INTER_NEAREST)
    turn = cv2.getRotationMatrix2D((SIDE, SIDE), 20, 1)
    tilted = PosedFace(
        cv2.warpAffine(large, turn, (SIDE * 2, SIDE * 2), borderMode=cv2.BORDER_REPLICATE),
        pose_of(cv2.transform(landmarks()[None] * 2, turn)[0]),
    )
    difference = np.abs(exchanged(tilted).astype(int) - exchanged(masked()))
    assert (difference.max(axis=2) > 20).mean() < 0.03


def test_the_light_of_the_face_holds() -> None:
    dark = exchanged(masked(light=0.6))
    chin = dark[round(SIDE / 2 + 0.6 * SCALE), SIDE // 2]
    assert chin.astype(float) == pytest.approx(np.array(GREEN) * 0.6 ** (1 - 0.8), rel=0.08)


def test_what_lies_beyond_the_other_picture_stays() -> None:
    whole = masked()
    end = round(SIDE / 2 + 0.5 * SCALE)
    cut = exchanged(PosedFace(whole.image[:end], whole.pose))
    below = slice(end + 2, None)
    assert np.array_equal(cut[below], face()[below])
    assert not np.array_equal(cut[:end], face()[:end])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with bare faces, and two with masks."""
    pictures = {"a": face(), "b": face(), "green": masked().image, "red": masked(RED).image}
    for name, image in pictures.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return tmp_path


def faces(folder: Path, *, yaws: tuple[float, float] = (0.0, 0.0), chances: tuple[float, float]) -> ExchangedFaces:
    return ExchangedFaces(
        folder,
        ["a.png", "b.png"],
        40,
        landmarks=np.stack([landmarks()] * 2),
        others=FoundFaces(["green.png", "red.png"], np.stack([landmarks(yaw=yaw) for yaw in yaws]), np.array(chances)),
    )


def mouth(image: np.ndarray) -> np.ndarray:
    return image[round(40 * (0.5 + 0.5 * SCALE / SIDE)), 20].astype(float)


def test_the_chances_say_whose_half_it_is(folder: Path) -> None:
    for chances, colour in (((1.0, 0.0), GREEN), ((0.0, 1.0), RED)):
        image = faces(folder, chances=chances).read(0).image
        assert image.shape == (40, 40, 3)
        assert mouth(image) == pytest.approx(colour, abs=3)
        assert image[18, 20] == pytest.approx(SKIN, abs=3)  # between the eyes


def test_of_several_faces_the_one_that_is_turned_alike_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanged_faces, "CANDIDATES", 40)  # so that both are drawn
    for yaws, colour in (((0.8, 0.0), RED), ((0.0, 0.8), GREEN)):
        for position in (0, 1):
            image = faces(folder, yaws=yaws, chances=(0.5, 0.5)).read(position).image
            assert mouth(image) == pytest.approx(colour, abs=3)


def test_a_face_gets_its_own_half_only_if_there_is_no_other(folder: Path) -> None:
    one = faces(folder, chances=(0.5, 0.5))
    own = dataclasses.replace(one, others=one.others._replace(paths=["a.png", "red.png"]))
    assert mouth(own.read(0).image) == pytest.approx(RED, abs=3)
    alone = dataclasses.replace(own, others=own.others._replace(chances=np.array([1.0, 0.0])))
    assert mouth(alone.read(0).image) == pytest.approx(SKIN, abs=3)


def test_the_cache_knows_what_an_image_is_made_of(folder: Path) -> None:
    one = faces(folder, chances=(0.5, 0.5))
    assert np.array_equal(one.read(1).image, faces(folder, chances=(0.5, 0.5)).read(1).image)
    others = [
        dataclasses.replace(one, landmarks=one.landmarks + 1),
        dataclasses.replace(one, others=one.others._replace(landmarks=one.others.landmarks + 1)),
        dataclasses.replace(one, others=one.others._replace(chances=np.array([0.25, 0.75]))),
        dataclasses.replace(one, others=one.others._replace(paths=["red.png", "green.png"])),
        ImageFiles(folder, one.paths, 40),
    ]
    assert len({each.cache_key() for each in (one, *others)}) == 6
