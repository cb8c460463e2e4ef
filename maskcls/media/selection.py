"""Which frames of a video are used: each Nth, and at most so many a second."""

import math
from dataclasses import dataclass

# many files round times to milliseconds: a frame may be early by so many seconds
_ROUNDING = 1e-3


@dataclass
class Selection:
    """A rule for one clip, which remembers when it took the last frame.

    Attributes:
        every: take the frames whose number is a multiple of this; 1 takes all.
        max_fps: take at most so many of these a second, by their times; None for no limit.
        interval: number of the interval of 1 / ``max_fps`` seconds that the last frame was taken from.
    """

    every: int = 1
    max_fps: float | None = None
    interval: int | None = None

    def takes(self, number: int, seconds: float) -> bool:
        """Whether to use a frame; its number, from 0, and its time."""
        if number % self.every:
            return False
        if self.max_fps is None:
            return True
        interval = math.floor((seconds + _ROUNDING) * self.max_fps)
        is_new = interval != self.interval
        self.interval = interval
        return is_new
