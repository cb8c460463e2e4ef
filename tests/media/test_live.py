"""Cameras and live streams: the newest frame wins, and what breaks off is opened again."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from videos import number_of, numbered, parted

from maskcls.errors import UserError
from maskcls.media import live
from maskcls.media.frames import Clip, Counts, Frame, Unusable
from maskcls.media.live import DroppedError, Picture, live_clip
from maskcls.media.selection import Selection

Connection = Callable[[], Iterator[Picture]]


def pictures(count: int) -> list[Picture]:
    return [partial(numbered(count).__getitem__, number) for number in range(count)]


def connections(*ways: Connection) -> Connection:
    """Return a function whose calls run these, one after another."""
    remaining = iter(ways)
    return lambda: next(remaining)()


def giving(*pictures: Picture, reason: str = "", every: int = 1) -> Connection:
    """Return a connection that waits until each of these was used, or each Nth, and then breaks off."""

    def connect() -> Iterator[Picture]:
        for number, picture in enumerate(pictures):
            used = threading.Event()
            yield partial(_use, picture, used)
            if number % every == 0:
                used.wait(10)
        if reason:
            raise DroppedError(reason)

    return connect


def _use(picture: Picture, used: threading.Event) -> np.ndarray:
    used.set()
    return picture()


def refusing() -> Iterator[Picture]:
    raise DroppedError("Connection refused")
    yield from pictures(1)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSES", (0.01, 0.02))


def clip_of(connect: Connection, selection: Selection | None = None) -> Clip:
    return live_clip("camera 0", connect, selection or Selection(), Counts())


def test_frames_have_numbers_and_times() -> None:
    clip = clip_of(connections(giving(*pictures(5)), refusing, refusing))
    assert (clip.path, clip.is_video, clip.fps, clip.length) == ("camera 0", True, None, None)
    frames, (unusable,) = parted(clip)
    assert [(frame.path, frame.number, number_of(frame.image)) for frame in frames] == [
        ("camera 0", number, number) for number in range(5)
    ]
    seconds = [frame.seconds or 0 for frame in frames]
    assert seconds == sorted(set(seconds))
    assert 0 <= seconds[0] < 5
    assert unusable == Unusable(
        "camera 0", "broke off, also after 2 more tries: Connection refused; the 5 frames before that are used"
    )


def test_frames_that_come_meanwhile_are_dropped_and_counted() -> None:
    used, goes_on = threading.Event(), threading.Event()

    def connect() -> Iterator[Picture]:
        first, *others = pictures(8)
        yield first
        used.wait(10)
        yield from others
        goes_on.set()

    clip = clip_of(connections(connect, refusing, refusing))
    frames = iter(clip)
    first = next(frames)
    used.set()
    goes_on.wait(10)
    second = next(frames)
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert (first.number, second.number, number_of(second.image)) == (0, 7, 7)
    assert clip.counts.dropped == 6


def test_skipped_frames_are_no_dropped_ones() -> None:
    clip = clip_of(connections(giving(*pictures(7), every=3), refusing, refusing), Selection(every=3))
    frames, _ = parted(clip)
    assert [frame.number for frame in frames] == [0, 3, 6]
    assert clip.counts == Counts(skipped=4)


def test_it_is_opened_again_and_each_try_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        frames, _ = parted(
            clip_of(
                connections(giving(*pictures(2)), refusing, giving(*pictures(3), reason="the camera gives no picture"))
            )
        )
    assert [(frame.number, number_of(frame.image)) for frame in frames] == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 2)]
    assert [record.getMessage() for record in caplog.records] == [
        "camera 0: broke off: it has ended; try 1 of 2 in 0.01 s",
        "camera 0: broke off: Connection refused; try 2 of 2 in 0.02 s",
    ]


def test_one_that_was_steady_may_use_all_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STEADY_SECONDS", 0)
    ways = [giving(*pictures(5))] * 4
    frames = iter(clip_of(connections(*ways, *[giving()] * 3)))
    assert len([next(frames) for _ in range(20)]) == 20


def test_what_gives_nothing_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        list(clip_of(refusing))
    assert str(caught.value) == "source: camera 0: Connection refused"
    with pytest.raises(UserError, match="it has ended"):
        list(clip_of(giving()))


def test_a_frame_that_cannot_be_converted_is_counted() -> None:
    first, last = pictures(2)
    connect = giving(first, lambda: next(refusing())(), last)
    clip = clip_of(connections(connect, refusing, refusing))
    assert [frame.number for frame in parted(clip)[0]] == [0, 2]
    assert clip.counts.undecodable == 1


def test_a_defect_in_the_thread_is_raised_where_the_frames_are_used() -> None:
    def broken() -> Iterator[Picture]:
        yield from pictures(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(clip_of(broken))


@pytest.mark.parametrize("way", ["the frames are no longer gone through", "the clip is closed"])
def test_the_thread_ends_when_nobody_needs_it(way: str) -> None:
    def endless() -> Iterator[Picture]:
        while True:
            yield pictures(1)[0]
            time.sleep(0.005)

    before = set(threading.enumerate())
    clip = clip_of(endless)
    frames = clip.frames
    assert isinstance(frames, Iterator)
    next(frames)
    (thread,) = set(threading.enumerate()) - before
    if way == "the clip is closed":
        clip.close()
        assert isinstance(list(frames)[-1], Unusable | Frame)
    del frames, clip
    thread.join(10)
    assert not thread.is_alive()
