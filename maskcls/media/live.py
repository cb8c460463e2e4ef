"""Cameras and live streams: a thread reads them, and the newest frame is used, so that answers do not fall behind."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from maskcls.errors import UserError
from maskcls.media.frames import Clip, Counts, Frame, Unusable
from maskcls.media.selection import Selection
from maskcls.wording import counted

log = logging.getLogger(__name__)

# seconds to wait before each further try to open what has broken off
PAUSES = (1, 2, 4, 8, 16)
# who has given frames for so long may use all tries again
STEADY_SECONDS = 60
# for the thread to notice that nobody needs it any more
_JOIN_SECONDS = 2

# converts a frame to RGB, uint8 [height, width, 3], or raises DroppedError: only those that are used are converted
Picture = Callable[[], np.ndarray]
# opens a camera or a stream and yields its frames; raises DroppedError when there are no more
Connect = Callable[[], Iterator[Picture]]


class DroppedError(Exception):
    """A camera or a stream gives nothing, or nothing more. The message says why."""


def live_clip(name: str, connect: Connect, selection: Selection, counts: Counts) -> Clip:
    """Return a camera or a stream as a clip.

    It is opened when it is gone through, and again, a few times, if it breaks off. Then its clip ends with `Unusable`.

    Args:
        name: what messages and tables call it.
        counts: where frames are counted that are not given.

    Raises:
        UserError: while it is gone through, if it gives no frame at all.
    """
    reader = _Reader(name, connect, selection, counts)
    return Clip(name, reader.frames(), is_video=True, counts=counts, close=reader.close)


@dataclass
class _Reader:
    """The thread that reads, and the newest frame that it has read.

    Attributes:
        changed: guards the attributes below.
        newest: number, time and picture of the newest frame, until it is taken.
        end: what the clip ends with, when it has ended.
        is_closed: whether nobody needs frames any more.
    """

    name: str
    connect: Connect
    selection: Selection
    counts: Counts
    changed: threading.Condition = field(default_factory=threading.Condition)
    newest: tuple[int, float, Picture] | None = None
    end: Unusable | BaseException | None = None
    is_closed: bool = False

    def frames(self) -> Iterator[Frame | Unusable]:
        """Yield the newest frame, again and again."""
        thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        thread.start()
        try:
            while newest := self._take():
                number, seconds, picture = newest
                try:
                    image = picture()
                except DroppedError:
                    self.counts.undecodable += 1
                    continue
                yield Frame(self.name, number, seconds, image)
        finally:
            self.close()
            thread.join(_JOIN_SECONDS)
        if isinstance(self.end, BaseException):
            raise self.end
        if self.end:
            yield self.end

    def close(self) -> None:
        """Tell the thread to stop."""
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()

    def _take(self) -> tuple[int, float, Picture] | None:
        """Wait for a frame that is new; None at the end."""
        with self.changed:
            self.changed.wait_for(lambda: self.newest or self.end or self.is_closed)
            newest, self.newest = self.newest, None
            return newest

    def _run(self) -> None:
        try:
            end: Unusable | BaseException = self._read()
        except BaseException as error:  # raised where the frames are used
            end = error
        with self.changed:
            self.end = end
            self.changed.notify_all()

    def _read(self) -> Unusable:
        """Read frames until nobody needs them, or opening has failed too often; return why it ended."""
        opened, number, tries = time.monotonic(), 0, 0
        while True:
            connected = time.monotonic()
            try:
                for picture in self.connect():
                    self._put(number, time.monotonic() - opened, picture)
                    if self.is_closed:
                        return Unusable(self.name, "closed")
                    number += 1
                reason = "it has ended"
            except DroppedError as error:
                reason = str(error)
            if number == 0:
                raise UserError(f"source: {self.name}: {reason}")
            if time.monotonic() - connected >= STEADY_SECONDS:
                tries = 0
            if tries == len(PAUSES):
                used = f"the {counted(number, 'frame')} before that are used"
                return Unusable(self.name, f"broke off, also after {tries} more tries: {reason}; {used}")
            log.warning(
                "%s: broke off: %s; try %d of %d in %g s", self.name, reason, tries + 1, len(PAUSES), PAUSES[tries]
            )
            with self.changed:
                if self.changed.wait_for(lambda: self.is_closed, PAUSES[tries]):
                    return Unusable(self.name, "closed")
            tries += 1

    def _put(self, number: int, seconds: float, picture: Picture) -> None:
        with self.changed:
            if not self.selection.takes(number, seconds):
                self.counts.skipped += 1
                return
            self.counts.dropped += self.newest is not None
            self.newest = (number, seconds, picture)
            self.changed.notify_all()
