"""Which frames are used: each Nth, and at most so many a second."""

import numpy as np
import pytest

from maskcls.media.selection import Selection


def taken(selection: Selection, times: list[float]) -> list[int]:
    return [number for number, seconds in enumerate(times) if selection.takes(number, seconds)]


@pytest.mark.parametrize(
    ("every", "max_fps", "expected"),
    [
        (1, None, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (5, None, [0, 5, 10]),
        (1, 10, [0, 3, 6, 9]),
        (1, 20, [0, 2, 3, 5, 6, 8, 9, 11]),
        (1, 30, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (1, 200, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (2, 10, [0, 4, 6, 10]),
    ],
)
def test_frames_of_a_steady_video(every: int, max_fps: float | None, expected: list[int]) -> None:
    assert taken(Selection(every, max_fps), [number / 30 for number in range(12)]) == expected


@pytest.mark.parametrize("fps", [23.976, 25, 29.97, 30, 59.94, 60, 1000 / 33])
@pytest.mark.parametrize("max_fps", [0.5, 1, 7, 10, 24, 25, 30])
def test_no_second_gives_more_frames_than_asked_for(fps: float, max_fps: float) -> None:
    times = [round(number / fps, 3) for number in range(600)]
    chosen = np.array([times[number] for number in taken(Selection(1, max_fps), times)])
    assert len(chosen) == pytest.approx(times[-1] * min(fps, max_fps), abs=2)
    assert np.bincount(np.floor(chosen + 0.001).astype(int)).max() <= max(1, np.ceil(max_fps))


def test_changing_rates_are_judged_by_the_times() -> None:
    assert taken(Selection(1, 2), [0.0, 0.1, 0.2, 0.6, 3.0, 3.1, 9.0]) == [0, 3, 4, 6]


def test_times_that_begin_anew_are_new() -> None:
    assert taken(Selection(1, 1), [5.0, 5.5, 0.0, 0.5]) == [0, 2]
