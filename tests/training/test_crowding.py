"""A training that waits for cores says so, once."""

import logging
from types import SimpleNamespace

import pytest
import torch
from trainings import tiny_state

from maskcls.training import crowding
from maskcls.training.crowding import CrowdingWatch

WARNING = (
    "other programs take the cores: the training waits for one 50 % of the time; with threads=2 it may be many times "
    "faster"
)


@pytest.mark.parametrize(
    ("threads", "waits", "warnings"),
    [
        (4, [0.0, 3.0, 6.0, 9.0], [WARNING]),
        (4, [0.0, 0.1, 0.2, 3.2], [WARNING]),
        (4, [0.0, 1.1, 2.2, 3.3], []),
        (1, [0.0, 5.0, 10.0, 15.0], []),  # fewer threads than one there are not
    ],
)
def test_a_training_that_waits_is_told_of(
    threads: int,
    waits: list[float],
    warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = iter([0.0, 6.0, 12.0, 18.0])
    queue = iter(waits)
    monkeypatch.setattr(crowding, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(crowding, "seconds_in_queue", lambda: next(queue))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    watch, state = CrowdingWatch(), tiny_state()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            watch.step_done(state)
    assert caplog.messages == warnings


def test_nothing_is_read_within_a_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, state = CrowdingWatch(), tiny_state()
    monkeypatch.setattr(crowding, "seconds_in_queue", lambda: pytest.fail("read at each step"))
    watch.step_done(state)
