"""What is classified in a picture: its faces, or the whole of it."""

from dataclasses import dataclass

import numpy as np
import pytest
from seen import detection

from maskcls.data.decode import Box
from maskcls.data.faces import Detections, Face
from maskcls.inference.subjects import find_subjects

IMAGE = np.zeros((40, 60, 3), np.uint8)


@dataclass
class FakeFinder:
    """Finds the faces that it is made with; the first fills the picture."""

    found: Detections

    def detect_all(self, image: np.ndarray, *, min_size: int) -> Detections:
        assert (image is IMAGE, min_size) == (True, 24)
        return self.found

    def crop_of(self, found: object, *, width: int, height: int) -> Face:
        assert (width, height) == (60, 40)
        return Face("fills") if found is self.found.faces[0] else Face("found", Box(30, 5, 12))


def prepared(image: np.ndarray, box: Box | None) -> np.ndarray:
    """An image that says which box it is of."""
    return np.array(box or (0, 0, 0))


def subjects(found: Detections | None, *, takes_whole: bool = True) -> tuple[list[tuple[object, ...]], int]:
    finder = None if found is None else FakeFinder(found)
    chosen, too_small = find_subjects(IMAGE, finder, prepared, min_size=24, takes_whole=takes_whole)  # type: ignore[arg-type]
    return [(s.finding, s.detection, s.box, s.image.tolist()) for s in chosen], too_small


def test_each_face_is_cut_out_unless_it_fills_the_picture() -> None:
    one, other = detection(2), detection(30)
    assert subjects(Detections([one, other], 3)) == (
        [("fills", one, None, [0, 0, 0]), ("found", other, Box(30, 5, 12), [30, 5, 12])],
        3,
    )


@pytest.mark.parametrize(
    ("takes_whole", "expected"), [(True, [("none", None, None, [0, 0, 0])]), (False, [])]
)  # fmt: skip
def test_a_picture_without_a_face_is_whole_or_left_alone(
    takes_whole: bool,  # noqa: FBT001
    expected: list[tuple[object, ...]],
) -> None:
    assert subjects(Detections([], 2), takes_whole=takes_whole) == (expected, 2)


def test_without_a_finder_no_face_is_looked_for() -> None:
    assert subjects(None) == ([(None, None, None, [0, 0, 0])], 0)


def test_faces_are_numbered_from_left_to_right() -> None:
    found = [detection(left) for left in (40, 0, 20)]
    chosen, _ = find_subjects(IMAGE, FakeFinder(Detections(found, 0)), prepared, min_size=24, takes_whole=True)  # type: ignore[arg-type]
    assert [subject.detection.left for subject in chosen if subject.detection] == [0, 20, 40]
