"""From frames to answers: in order, in batches of faces, with no more pictures on the way than a batch needs."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from seen import detection

from maskcls.data.decode import Box, prepare_image
from maskcls.data.faces import Detections, Face
from maskcls.inference import pipeline as module
from maskcls.inference.pipeline import NO_PICTURE, Pipeline, Seen
from maskcls.media.frames import Clip, Frame, Unusable
from maskcls.models.calibration import Answers

SIZE = 8


@dataclass
class FakePredictor:
    """Its probability of the first class is the mean brightness of an image."""

    batch_size: int = 4
    input_size: int = SIZE
    batches: list[int] = field(default_factory=list)

    def prepared(self, image: np.ndarray, box: Box | None) -> np.ndarray:
        return prepare_image(image, self.input_size, box=box)

    def answer_images(self, images: Sequence[np.ndarray]) -> Answers:
        self.batches.append(len(images))
        bright = np.array([image.mean() / 255 for image in images])
        probabilities = np.stack([bright, 1 - bright], axis=1)
        return Answers(np.log(probabilities), probabilities, probabilities.argmax(axis=1))


@dataclass
class FakeFinder:
    """Finds as many faces as the first pixel says, each a column of 10 pixels; the second says how many are small."""

    always_crop: bool = False
    sizes: set[int] = field(default_factory=set)

    def detect_all(self, image: np.ndarray, *, min_size: int) -> Detections:
        self.sizes.add(min_size)
        return Detections([detection(10 * n, 10, 10) for n in range(image[0, 0, 0])], int(image[0, 1, 0]))

    def crop_of(self, found: Any, *, width: int, height: int) -> Face:
        return Face("found", Box(int(found.left), 10, 10))


def frame(number: int, faces: int = 0, small: int = 0, path: str = "a.mp4") -> Frame:
    """A frame whose faces are brighter from left to right: 0.1, 0.2, ... and 0.05 around them."""
    image = np.full((40, 100, 3), 12.75, np.uint8)
    for n in range(10):
        image[10:20, 10 * n : 10 * n + 10] = round(25.5 * (n + 1))
    image[0, 0], image[0, 1] = faces, small
    return Frame(path, number, number / 10, image)


def run(
    clips: Sequence[Clip], predictor: FakePredictor | None = None, *, is_live: bool = False, **changes: Any
) -> list[Seen | Unusable]:
    settings: dict[str, Any] = {"finder": FakeFinder(), "min_size": 30, "keeps_pictures": True} | changes
    return list(Pipeline(predictor or FakePredictor(), **settings).run(clips, is_live=is_live))  # type: ignore[arg-type]


def masked(seen: Seen | Unusable) -> list[float]:
    """The probability of the first class of each face."""
    assert isinstance(seen, Seen)
    return [round(float(answered.probabilities[0]), 2) for answered in seen.answers]


def test_every_face_of_every_frame_is_answered_in_order() -> None:
    video = Clip("a.mp4", [frame(n, faces) for n, faces in enumerate((2, 0, 3, 1))], is_video=True)
    one, two, three, four = run([video])
    assert [masked(seen) for seen in (one, three, four)] == [[0.1, 0.2], [0.1, 0.2, 0.3], [0.1]]
    assert isinstance(two, Seen)
    assert list(two.answers) == []  # a frame without a face is not classified as a whole
    assert [seen.frame.number for seen in (one, two, three, four) if isinstance(seen, Seen)] == [0, 1, 2, 3]


def test_faces_of_several_frames_share_a_batch_and_none_is_too_large() -> None:
    predictor = FakePredictor(batch_size=4)
    video = Clip("a.mp4", [frame(n, faces) for n, faces in enumerate((1, 1, 1, 1, 9, 3))], is_video=True)
    assert list(map(len, map(masked, run([video], predictor)))) == [1, 1, 1, 1, 9, 3]
    assert predictor.batches == [4, 4, 4, 1, 3]


def test_pictures_of_one_face_are_batched_as_an_evaluation_batches_them() -> None:
    predictor = FakePredictor(batch_size=4)
    clips = [Clip(f"{n}.jpg", [frame(0, 1)], is_video=False) for n in range(10)]
    run(clips, predictor)
    assert predictor.batches == [4, 4, 2]


def test_without_a_finder_pictures_are_whole() -> None:
    (seen,) = run([Clip("a.jpg", [frame(0, 3)], is_video=False)], finder=None)
    assert isinstance(seen, Seen)
    (answered,) = seen.answers
    assert (answered.subject.finding, answered.subject.detection, answered.subject.box) == (None, None, None)


@pytest.mark.parametrize(
    ("is_video", "min_size", "expected"), [(False, None, 24), (True, None, 60), (False, 30, 30), (True, 30, 30)]
)
def test_smaller_faces_are_looked_for_in_pictures_than_in_videos(
    is_video: bool,  # noqa: FBT001
    min_size: int | None,
    expected: int,
) -> None:
    finder = FakeFinder()
    run([Clip("a", [frame(0, 1)], is_video=is_video)], finder=finder, min_size=min_size)
    assert finder.sizes == {expected}


def test_a_picture_without_a_face_is_classified_as_a_whole() -> None:
    (seen,) = run([Clip("a.jpg", [frame(0, 0)], is_video=False)])
    assert isinstance(seen, Seen)
    assert [answered.subject.finding for answered in seen.answers] == ["none"]


def test_a_finder_that_always_crops_gives_no_answer_for_a_picture_without_a_face() -> None:
    (seen,) = run([Clip("a.jpg", [frame(0, 0, small=2)], is_video=False)], finder=FakeFinder(always_crop=True))
    assert isinstance(seen, Seen)
    assert (list(seen.answers), seen.too_small) == ([], 2)


def test_what_cannot_be_used_is_passed_on_in_its_place() -> None:
    broken = Unusable("b.jpg", "b.jpg: empty")
    clips = [
        Clip("a.jpg", [frame(0, 1)], is_video=False),
        Clip("b.jpg", [broken], is_video=False),
        Clip("c.mp4", [frame(0, 1), Unusable("c.mp4", "cut off")], is_video=True),
    ]
    seen = run(clips)
    assert [isinstance(one, Seen) for one in seen] == [True, False, True, False]
    assert seen[1] == broken


def test_pictures_that_nobody_needs_are_dropped() -> None:
    (seen,) = run([Clip("a.jpg", [frame(0, 1)], is_video=False)], keeps_pictures=False)
    assert isinstance(seen, Seen)
    assert seen.frame.image is NO_PICTURE
    assert seen.answers[0].subject.image.shape == (SIZE, SIZE, 3)


@dataclass
class Counting:
    """The frames of a video, which remember how many of them were taken."""

    taken: int = 0

    def __iter__(self) -> Iterator[Frame | Unusable]:
        for number in range(500):
            self.taken += 1
            yield frame(number, 1)


@pytest.mark.parametrize(("keeps_pictures", "most"), [(True, 8 + 4), (False, 4 + 4)])
def test_no_more_frames_are_on_the_way_than_a_batch_needs(keeps_pictures: bool, most: int) -> None:  # noqa: FBT001
    frames = Counting()
    video = Clip("a.mp4", frames, is_video=True)
    pipeline = Pipeline(FakePredictor(), FakeFinder(), 30, keeps_pictures)  # type: ignore[arg-type]
    for number, _ in enumerate(pipeline.run([video], is_live=False)):
        assert frames.taken - number <= most + 1
    assert number == 499


def test_a_live_source_is_answered_frame_by_frame() -> None:
    frames, predictor = Counting(), FakePredictor()
    video = Clip("camera 0", frames, is_video=True)
    pipeline = Pipeline(predictor, FakeFinder(), 30, keeps_pictures=True)  # type: ignore[arg-type]
    for number, _ in enumerate(pipeline.run([video], is_live=True)):
        assert frames.taken == number + 1
        if number == 20:
            break
    assert set(predictor.batches) == {1}


def test_large_pictures_make_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PICTURE_BYTES", 2 * frame(0).image.nbytes)
    predictor = FakePredictor()
    run([Clip("a.mp4", [frame(n, 1) for n in range(6)], is_video=True)], predictor)
    assert predictor.batches == [2, 2, 2]


def test_pictures_are_read_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 2)
    threads: set[int] = set()
    together = threading.Barrier(2)

    def slowly() -> Iterator[Frame | Unusable]:
        together.wait(60)  # until another picture is being read
        threads.add(threading.get_ident())
        yield frame(0, 1)

    run([Clip(f"{n}.jpg", slowly(), is_video=False) for n in range(4)])
    assert len(threads) == 2


def test_heat_maps_belong_to_their_faces() -> None:
    class FakeExplainer:
        def heatmaps(self, images: Sequence[np.ndarray], labels: Sequence[int]) -> np.ndarray:
            assert list(labels) == [1, 1, 1]
            return np.stack([image[..., 0] / 255 for image in images]).astype(np.float32)

    (seen,) = run([Clip("a.jpg", [frame(0, 3)], is_video=False)], explainer=FakeExplainer())
    assert isinstance(seen, Seen)
    assert [answered.heatmap is not None for answered in seen.answers] == [True] * 3
    found = [float(answered.heatmap.mean()) for answered in seen.answers if answered.heatmap is not None]
    assert found == pytest.approx([0.1, 0.2, 0.3], abs=0.003)
