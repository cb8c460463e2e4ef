"""Pictures with answers, as the pipeline gives them to outputs."""

from collections.abc import Sequence

import numpy as np

from maskcls.commands.outputs import Naming
from maskcls.data.decode import Box
from maskcls.data.detection import Detection
from maskcls.inference.pipeline import Answered, Seen
from maskcls.inference.subjects import Subject
from maskcls.media.frames import Clip, Frame

NAMING = Naming(("WithMask", "WithoutMask"), positive=0, threshold=0.4)


def detection(left: float = 10, top: float = 20, side: float = 30, score: float = 0.9) -> Detection:
    return Detection(left, top, side, side, np.zeros((5, 2)), score)


def answered(masked: float, found: Detection | None = None, heatmap: np.ndarray | None = None) -> Answered:
    """The answer for a face, or without one for a whole picture; ``masked`` is the probability of the first class."""
    box = None if found is None else Box(int(found.left), int(found.top), int(found.width))
    subject = Subject("none" if found is None else "found", found, box, np.zeros((8, 8, 3), np.uint8))
    probabilities = np.array([masked, 1 - masked])
    return Answered(subject, int(masked < NAMING.threshold), probabilities, heatmap)


def picture(path: str, *answers: Answered, image: np.ndarray | None = None, damage: str | None = None) -> Seen:
    """A picture file."""
    if image is None:
        image = np.full((100, 120, 3), 128, np.uint8)
    return Seen(Clip(path, [], is_video=False), Frame(path, 0, None, image, damage), answers, 0)


def video(path: str, *frames: Sequence[Answered], rate: float = 10) -> list[Seen]:
    """A video, from the answers in each of its frames."""
    clip, image = Clip(path, [], is_video=True), np.full((100, 120, 3), 128, np.uint8)
    return [Seen(clip, Frame(path, number, number / rate, image), answers, 0) for number, answers in enumerate(frames)]
