"""Detection: each face once, and pictures of any shape."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from maskcls.data.decode import decode_image
from maskcls.data.detection import CROP, LONGEST_SIDE, WHOLE, Detection, Detector, View, each_once, views_of
from maskcls.data.faces import FILE_NAME


@pytest.fixture
def yunet(shared: Path) -> Detector:
    return Detector(shared / "models" / FILE_NAME, key="faces.model")


def face(left: float, top: float, size: float, score: float) -> Detection:
    """A face with its eyes, nose and mouth where YuNet finds them."""
    places = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return Detection(left, top, 0.8 * size, size, (left, top) + places * (0.8 * size, size), score)


def test_a_face_that_is_seen_twice_is_kept_once_with_its_best_box() -> None:
    best, other = face(100, 100, 80, 0.9), face(104, 97, 90, 0.8)
    assert each_once([other, best]) == [best]


def test_faces_cheek_to_cheek_are_both_kept() -> None:
    left, right = face(100, 100, 100, 0.8), face(165, 90, 100, 0.9)
    assert each_once([left, right]) == [right, left]


def test_a_box_on_a_part_of_a_face_is_dropped() -> None:
    whole = face(100, 100, 200, 0.9)
    chin = face(120, 225, 100, 0.7)  # its eyes are on the mask, its mouth on the neck
    nose = face(150, 180, 40, 0.7)
    assert each_once([chin, whole, nose]) == [whole]


def test_a_small_face_before_a_large_one_is_kept() -> None:
    behind, before = face(100, 100, 200, 0.7), face(120, 230, 60, 0.9)
    assert each_once([behind, before]) == [before, behind]


@pytest.mark.parametrize(
    ("longer_side", "smallest", "sides"),
    [
        (1280, 60, [192, 853]),
        (1280, 40, [192, 480, 1280]),
        (320, 24, [192, 533]),
        (320, 1, [192, 640]),
        (1, 100, [192, 1]),
        (8000, 24, [192, 480, LONGEST_SIDE]),
    ],
)
def test_small_faces_are_searched_at_a_larger_size(longer_side: int, smallest: int, sides: list[int]) -> None:
    assert [view.longer_side for view in views_of(longer_side, smallest)] == sides


@pytest.mark.realdata
def test_a_box_is_in_pixels_of_the_picture_in_each_view(yunet: Detector, shared: Path) -> None:
    photograph = decode_image(shared / "data" / "wild_dev" / "WithoutMask" / "10.jpg")
    small = np.array(yunet.detect(photograph, View(240))[0][:4])
    for view in (WHOLE, CROP, View(480)):
        assert np.array(yunet.detect(photograph, view)[0][:4]) == pytest.approx(small, abs=0.12 * small[3])
    large = yunet.detect(cv2.resize(photograph, None, fx=4, fy=4), View(240))[0]
    assert np.array(large[:4]) / 4 == pytest.approx(small, abs=0.05 * small[3])
    assert 0.7 <= large.score <= 1


@pytest.mark.realdata
def test_a_view_has_a_lowest_score_of_its_own(yunet: Detector, shared: Path) -> None:
    photograph = decode_image(shared / "data" / "wild_dev" / "WithoutMask" / "10.jpg")
    (best, *_) = yunet.detect(photograph, WHOLE)
    assert yunet.detect(photograph, WHOLE._replace(min_score=best.score + 0.01)) == []
    assert yunet.detect(photograph, WHOLE)[0].score == best.score


@pytest.mark.realdata
@pytest.mark.parametrize("shape", [(1, 1), (20, 2000), (2000, 20), (1, 5000), (64, 64)])
def test_pictures_of_any_shape_are_searched(shape: tuple[int, int], yunet: Detector) -> None:
    for level in (0, 128, 255):
        assert yunet.detect_all(np.full((*shape, 3), level, np.uint8), 24) == []
