"""Small thumbnails: near ones are found without comparing all, and only copies are alike."""

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from images import scene

from maskcls.audit.features import Features, grey_thumbnail
from maskcls.audit.thumbnails import SMALL_SIDE, are_alike, confirm, neighbours, small_thumbnail


def grey(seed: int, side: int = 96) -> np.ndarray:
    return cv2.cvtColor(scene(seed, side), cv2.COLOR_RGB2GRAY)


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return decoded


CHANGES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], bool]] = {
    "brighter": (lambda image: cv2.convertScaleAbs(image, alpha=0.8, beta=30), True),
    "smaller": (lambda image: cv2.resize(image, (40, 40), interpolation=cv2.INTER_AREA), True),
    "blurred": (lambda image: cv2.GaussianBlur(image, (0, 0), 1), True),
    "compressed": (lambda image: compressed(image, 40), True),
    "inverted": (lambda image: 255 - image, False),
    "mirrored": (lambda image: np.ascontiguousarray(image[:, ::-1]), False),
    "moved": (lambda image: np.roll(image, 8, axis=1), False),
    "edited": (lambda image: cv2.circle(image.copy(), (30, 60), 14, 250, -1), False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_copy_in_place_is_alike_and_another_picture_is_not(name: str) -> None:
    change, expected = CHANGES[name]
    for seed in range(10):
        image = grey(seed)
        first, second = small_thumbnail(image), small_thumbnail(change(image))
        assert are_alike(first, second, 40) == are_alike(second, first, 40) == expected
        assert not are_alike(first, small_thumbnail(grey(seed + 100)), 40)


def test_neighbours_are_the_near_ones_the_nearest_first() -> None:
    thumbnails = np.stack([small_thumbnail(grey(seed)) for seed in range(200)])
    thumbnails[150] = np.clip(thumbnails[3] * 0.7 + 20, 0, 255)
    noise = np.random.default_rng(0).normal(0, 2, (SMALL_SIDE, SMALL_SIDE))
    thumbnails[60] = np.clip(thumbnails[7] + noise, 0, 255)
    assert neighbours(thumbnails, range(200), threads=1) == [(3, 150), (7, 60)]
    # positions are those of the images that are asked for
    assert neighbours(thumbnails, [7, 3, 60, 11], threads=1) == [(7, 60)]


def test_images_without_contrast_and_single_images_have_no_neighbours() -> None:
    flat = np.full((3, SMALL_SIDE, SMALL_SIDE), 100, np.uint8)
    flat[1:, 0, 0] = 104
    assert neighbours(flat, range(3), threads=1) == []
    assert neighbours(flat, [], threads=1) == []
    assert neighbours(small_thumbnail(grey(0))[None], [0], threads=1) == []


def test_many_copies_of_one_image_give_a_bounded_number_of_pairs() -> None:
    noise = np.random.default_rng(0).integers(-3, 4, (300, SMALL_SIDE, SMALL_SIDE))
    thumbnails = np.clip(small_thumbnail(grey(0)) + noise, 0, 255).astype(np.uint8)
    assert len(neighbours(thumbnails, range(300), threads=1)) <= 300 * 10


def features(image: np.ndarray) -> Features:
    thumbnail = grey_thumbnail(np.repeat(image[..., None], 3, axis=2))
    return Features(thumbnail, np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8))


def test_pixels_decide_where_small_thumbnails_show_too_little() -> None:
    image = grey(5, 320)
    smaller = cv2.resize(image, (100, 100), interpolation=cv2.INTER_AREA)
    found = confirm(features(image), features(smaller), 100)
    assert found is not None
    assert found.inliers == 0
    assert found.agreement > 0.9
    assert not found.is_mirrored
    # two pages of text: their small thumbnails are equally grey
    pages = np.random.default_rng(0).choice([0, 255], (2, 40, 40)).astype(np.uint8).repeat(4, 1).repeat(4, 2)
    assert confirm(features(pages[0]), features(pages[1]), 160) is None


def test_pictures_of_another_shape_are_no_copies() -> None:
    image = grey(5, 160)
    assert confirm(features(image), features(image[:140]), 160) is None
    # but the sides of a small one are rounded
    wide = image[:107]
    assert confirm(features(wide), features(cv2.resize(wide, (40, 27))), 40) is not None


def in_a_frame(seed: int, levels: float) -> np.ndarray:
    """Faint texture on a dark disc on white, as in pictures of products and of eyes."""
    texture = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (256, 256)), (0, 0), 3)
    disc = cv2.circle(np.zeros((256, 256)), (128, 128), 100, 1.0, -1)
    image = np.where(disc > 0, 90 + levels * texture / texture.std(), 250)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 1), 0, 255).astype(np.uint8)


def test_two_objects_in_one_frame_are_no_copies_although_their_outlines_agree() -> None:
    pictures = [in_a_frame(seed, 9) for seed in range(6)]
    for first, second in itertools.combinations(pictures, 2):
        assert are_alike(small_thumbnail(first), small_thumbnail(second), 256)
        assert confirm(features(first), features(second), 256) is None
    for picture in pictures:
        third = cv2.resize(picture, (85, 85), interpolation=cv2.INTER_AREA)
        for copy, side in ((compressed(picture, 30), 256), (third, 85), (compressed(third, 30), 85)):
            assert confirm(features(picture), features(copy), side) is not None
