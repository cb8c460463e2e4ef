"""Two images show one photograph where an affine map carries features over and the pixels then agree."""

import cv2
import numpy as np
import pytest
from images import scene

from maskcls.audit.features import SIDE, extract, grey_thumbnail
from maskcls.audit.geometry import (
    EDITED_SHARE,
    MIN_AGREEMENT,
    MIN_INLIERS,
    Match,
    compare,
    compare_everywhere,
    match,
)


def matched(first: np.ndarray, second: np.ndarray, *, mirror: bool = False) -> Match | None:
    return match(extract(grey_thumbnail(first)), extract(grey_thumbnail(second)), mirror=mirror)


def turned(image: np.ndarray, degrees: float = 0, zoom: float = 1, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    side = image.shape[0]
    matrix = np.asarray(cv2.getRotationMatrix2D((side / 2, side / 2), degrees, zoom))
    matrix[:, 2] += np.array(shift)
    return cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize(
    ("degrees", "zoom", "shift"),
    [(30, 1, (0, 0)), (-15, 1.3, (0, 0)), (0, 0.7, (0, 0)), (0, 1, (30, -20)), (180, 1, (0, 0)), (20, 1.2, (15, 10))],
)
def test_a_turned_moved_or_zoomed_copy_is_found_and_where_it_lies(
    degrees: float, zoom: float, shift: tuple[float, float]
) -> None:
    image = scene(0)
    found = matched(image, turned(image, degrees, zoom, shift))
    assert found is not None
    assert not found.is_mirrored
    assert not found.is_edited
    assert not found.keeps_the_frame
    assert found.inliers >= MIN_INLIERS
    assert found.agreement > 0.85
    expected = np.asarray(cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), degrees, zoom))
    expected[:, 2] += np.array(shift)
    centre = np.array([SIDE / 2, SIDE / 2, 1])
    assert found.matrix @ centre == pytest.approx(expected @ centre, abs=1.5)
    assert found.matrix[:, :2] == pytest.approx(expected[:, :2], abs=0.05)


def test_a_mirrored_copy_is_found_by_its_mirrored_features() -> None:
    image = scene(1)
    mirrored = np.ascontiguousarray(turned(image, 10)[:, ::-1])
    found = matched(image, mirrored, mirror=True)
    assert found is not None
    assert found.is_mirrored
    assert found.agreement > 0.85
    assert matched(image, mirrored, mirror=False) is None
    assert matched(image, image, mirror=True) is None


def test_size_encoding_brightness_and_contrast_do_not_matter() -> None:
    image = scene(2)
    small = cv2.resize(image, (70, 70), interpolation=cv2.INTER_AREA)
    coarse = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)
    assert coarse is not None
    for other in (small, coarse, (image * 0.6 + 60).astype(np.uint8)):
        found = matched(image, other)
        assert found is not None
        assert found.keeps_the_frame
        assert not found.is_edited


@pytest.mark.parametrize("seed", range(10, 16))
def test_other_pictures_are_not_matched(seed: int) -> None:
    assert matched(scene(seed), scene(seed + 100)) is None
    assert matched(scene(seed), scene(seed + 100), mirror=True) is None


def test_a_picture_of_which_a_part_was_replaced_is_related() -> None:
    image = scene(3)
    masked = image.copy()
    cv2.ellipse(masked, (80, 100), (30, 20), 0, 0, 360, (250, 250, 250), -1)
    found = matched(image, masked)
    assert found is not None
    assert found.is_edited
    ellipse = np.pi * 30 * 20 / SIDE**2
    assert EDITED_SHARE < found.changed <= 1.3 * ellipse


def test_a_picture_of_one_colour_agrees_with_nothing() -> None:
    flat = np.full((SIDE, SIDE), 90, dtype=np.uint8)
    assert compare(flat, grey_thumbnail(scene(4)), np.eye(2, 3))[0] == 0
    assert matched(scene(4), cv2.cvtColor(flat, cv2.COLOR_GRAY2RGB)) is None


def test_a_picture_agrees_with_itself_and_not_beside_itself() -> None:
    thumbnail = grey_thumbnail(scene(5))
    agreement, changed = compare(thumbnail, thumbnail, np.eye(2, 3))
    assert agreement == pytest.approx(1)
    assert changed == 0
    beside = np.array([[1.0, 0, 25], [0, 1, 0]])
    assert compare(thumbnail, thumbnail, beside)[0] < MIN_AGREEMENT
    outside = np.array([[1.0, 0, SIDE - 5], [0, 1, 0]])
    assert compare(thumbnail, thumbnail, outside) == (0, 0)


def test_faint_texture_counts_as_much_as_a_strong_outline() -> None:
    def disc(seed: int) -> np.ndarray:
        texture = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (160, 160)), (0, 0), 2)
        inside = cv2.circle(np.zeros((160, 160)), (80, 80), 60, 1.0, -1) > 0
        return np.where(inside, 90 + 9 * texture / texture.std(), 250).clip(0, 255).astype(np.uint8)

    still = np.eye(2, 3)
    assert compare(disc(0), disc(1), still)[0] > 0.7
    assert compare_everywhere(disc(0), disc(1), still, 160) < 0.7
    assert compare_everywhere(cv2.GaussianBlur(disc(0), (0, 0), 2), disc(0), still, 160) > 0.9
    darker = cv2.convertScaleAbs(disc(0), alpha=0.5, beta=20)
    assert compare_everywhere(disc(0), darker, still, 160) > 0.99
    # a copy of 40 pixels has no finer texture, and is compared at its size
    enlarged = cv2.resize(cv2.resize(disc(0), (40, 40), interpolation=cv2.INTER_AREA), (160, 160))
    assert compare_everywhere(disc(0), enlarged, still, 40) > 0.95
    flat = np.full((160, 160), 7, np.uint8)
    assert compare_everywhere(flat, flat, still, 160) == 0
