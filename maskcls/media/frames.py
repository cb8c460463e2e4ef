"""What every source gives: clips of frames, and what cannot be used, with the reason."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import NamedTuple

import numpy as np


class Frame(NamedTuple):
    """A picture, or one frame of a video, a camera or a stream.

    Attributes:
        path: the file; or the address of a stream, without its password; ``camera 0``; ``standard input``.
        number: the frame's number in its clip, from 0, counting those that are skipped; 0 for a picture.
        seconds: when a frame is shown, counted from the beginning of the video. For cameras and live streams, seconds
            since they were opened. None for a picture.
        image: RGB, uint8 [height, width, 3], upright.
        damage: what is wrong with a picture or a frame of which only a part could be decoded; None for a whole one.
        remark: what a reader of the log should know about a whole picture; None for an ordinary one.
    """

    path: str
    number: int
    seconds: float | None
    image: np.ndarray
    damage: str | None = None
    remark: str | None = None


class Unusable(NamedTuple):
    """A file that cannot be read, or the rest of a video that broke off: the frames before it were given."""

    path: str
    reason: str


@dataclass
class Counts:
    """Frames of a clip that were not given.

    Attributes:
        skipped: left out by ``every`` or ``max_fps``.
        dropped: frames of a camera or a live stream that came while earlier ones were worked on.
        undecodable: packets of a damaged video that hold no frame that can be decoded.
    """

    skipped: int = 0
    dropped: int = 0
    undecodable: int = 0


def _nothing() -> None:
    """Close a clip that has nothing open."""


@dataclass(frozen=True)
class Clip:
    """One item of a source. It can be gone through once, in any thread.

    Attributes:
        path: as in `Frame`.
        frames: its frames, read while they are gone through.
        is_video: whether it is a video, a camera or a stream, rather than a picture.
        fps: frames a second as the video states them, on average; None if that is not known.
        length: frames of the video as it states them or as its duration lets expect; None if that is not known.
        counts: frames that were not given so far.
        close: releases what is open. It does nothing for a picture, which may be read in another thread.
    """

    path: str
    frames: Iterable[Frame | Unusable]
    _: KW_ONLY
    is_video: bool
    fps: float | None = None
    length: int | None = None
    counts: Counts = field(default_factory=Counts)
    close: Callable[[], None] = _nothing

    def __iter__(self) -> Iterator[Frame | Unusable]:
        return iter(self.frames)
