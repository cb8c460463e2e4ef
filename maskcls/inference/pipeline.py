"""From pictures and videos to answers: every face is found, cut out and classified.

Decoding, detection and classification overlap: threads read pictures and look for faces while the network classifies
the faces of earlier pictures. Only so many pictures are on the way as fill a batch, so memory does not grow with the
length of a video.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from maskcls.cores import ahead, usable_cores
from maskcls.data.faces import MIN_SIZE, FaceFinder
from maskcls.inference.predictor import Predictor
from maskcls.inference.subjects import Subject, find_subjects
from maskcls.media.frames import Clip, Frame, Unusable

if TYPE_CHECKING:
    from maskcls.inference.explanation import Explainer

# pictures that are kept until they are shown or written take at most so many bytes
PICTURE_BYTES = 2**28
# pictures that are kept and may be read before their answers are asked for
AHEAD = 8
# size in pixels of the smallest face that is looked for in videos, where time matters
MIN_SIZE_IN_VIDEOS = 60
NO_PICTURE = np.empty((0, 0, 3), np.uint8)


class Answered(NamedTuple):
    """A face, or a whole picture, and its answer.

    Attributes:
        subject: what was classified.
        label: index of the predicted class.
        probabilities: float64 [classes], after temperature scaling.
        heatmap: what the answer rests on, float32 [size, size] from 0 to 1; None if that was not asked for.
    """

    subject: Subject
    label: int
    probabilities: np.ndarray
    heatmap: np.ndarray | None

    @property
    def certainty(self) -> float:
        """The probability of the predicted class."""
        return float(self.probabilities[self.label])


class Seen(NamedTuple):
    """A picture, or a frame of a video, and all answers.

    Attributes:
        clip: where it is from.
        frame: its pixels are `NO_PICTURE` where pictures are not kept.
        answers: of each face, from left to right; or of the whole picture. Empty if no face was found and only faces
            are classified.
        too_small: faces that are smaller than asked for, and were left out.
    """

    clip: Clip
    frame: Frame
    answers: Sequence[Answered]
    too_small: int


class _Looked(NamedTuple):
    """A picture in which faces were looked for; or why it cannot be used, with no subjects."""

    clip: Clip
    frame: Frame | Unusable
    subjects: Sequence[Subject] = ()
    too_small: int = 0


@dataclass(frozen=True)
class Pipeline:
    """Finds and classifies the faces of pictures and videos.

    Attributes:
        predictor: the network.
        finder: finds the faces; None to classify whole pictures.
        min_size: pixels of the longer side of the smallest face; None for the usual.
        keeps_pictures: whether the pixels of pictures are needed afterwards.
        explainer: shows what each answer rests on; None for none.
    """

    predictor: Predictor
    finder: FaceFinder | None
    min_size: int | None
    keeps_pictures: bool
    explainer: "Explainer | None" = None

    def run(self, clips: Iterable[Clip], *, is_live: bool) -> Generator[Seen | Unusable]:
        """Classify all pictures and frames of some clips, in their order.

        Args:
            is_live: answer each frame before the next one is read.
        """
        # frames of videos are decoded before they come to the threads, so that all of these may be in memory
        count = 0 if is_live else min(self.predictor.batch_size, AHEAD + 2 * usable_cores())
        with closing(ahead(self._look, _items(clips), count, threads=usable_cores(), name="look")) as looked:
            for batch in self._batches(looked, 1 if is_live else self.predictor.batch_size):
                yield from self._answer(batch)

    def _look(self, item: tuple[Clip, Frame | Unusable | None]) -> _Looked:
        """Find what is to be classified in a frame, or in the picture that a clip consists of."""
        clip, frame = item
        if frame is None:
            frame = next(iter(clip))
        if isinstance(frame, Unusable):
            return _Looked(clip, frame)
        subjects, too_small = self._subjects(frame.image, is_video=clip.is_video)
        if not self.keeps_pictures:
            frame = frame._replace(image=NO_PICTURE)
        return _Looked(clip, frame, subjects, too_small)

    def _subjects(self, image: np.ndarray, *, is_video: bool) -> tuple[list[Subject], int]:
        # a frame of a video without a face is nobody's portrait
        takes_whole = not is_video and not (self.finder and self.finder.always_crop)
        min_size = self.min_size or (MIN_SIZE_IN_VIDEOS if is_video else MIN_SIZE)
        return find_subjects(image, self.finder, self.predictor.prepared, min_size=min_size, takes_whole=takes_whole)

    def _batches(self, looked: Iterable[_Looked], size: int) -> Iterator[list[_Looked]]:
        """Collect pictures with together ``size`` faces; fewer if there are so many pictures, or they are large."""
        batch: list[_Looked] = []
        faces = pixels = 0
        try:
            for one in looked:
                batch.append(one)
                faces += len(one.subjects)
                pixels += 0 if isinstance(one.frame, Unusable) else one.frame.image.nbytes
                if max(faces, len(batch)) >= size or pixels >= PICTURE_BYTES:
                    yield batch
                    batch, faces, pixels = [], 0, 0
        except Exception:
            yield batch  # what came before the error is classified first
            raise
        if batch:
            yield batch

    def answer(self, image: np.ndarray) -> list[Answered]:
        """Classify the faces of one picture, or the picture as a whole.

        Args:
            image: RGB uint8 [height, width, 3].
        """
        subjects, _ = self._subjects(image, is_video=False)
        return self._classify(subjects)

    def _answer(self, batch: Sequence[_Looked]) -> Iterator[Seen | Unusable]:
        """Classify everything in a batch, and give it back picture by picture."""
        answered = iter(self._classify([subject for one in batch for subject in one.subjects]))
        for one in batch:
            if isinstance(one.frame, Unusable):
                yield one.frame
            else:
                yield Seen(one.clip, one.frame, [next(answered) for _ in one.subjects], one.too_small)

    def _classify(self, subjects: Sequence[Subject]) -> list[Answered]:
        """Classify any number of subjects: one picture may hold more faces than a batch."""
        answered = []
        for start in range(0, len(subjects), self.predictor.batch_size):
            part = subjects[start : start + self.predictor.batch_size]
            images = [subject.image for subject in part]
            answers = self.predictor.answer_images(images)
            heatmaps = (
                self.explainer.heatmaps(images, answers.predicted.tolist()) if self.explainer else [None] * len(images)
            )
            answered += [
                Answered(subject, int(label), probabilities, heatmap)
                for subject, label, probabilities, heatmap in zip(
                    part, answers.predicted, answers.probabilities, heatmaps, strict=True
                )
            ]
        return answered


def _items(clips: Iterable[Clip]) -> Iterator[tuple[Clip, Frame | Unusable | None]]:
    """The frames of videos; and for each picture None, so that a thread reads it."""
    for clip in clips:
        if clip.is_video:
            yield from ((clip, frame) for frame in clip)
        else:
            yield clip, None
