"""Long work is never silent."""

import io
import logging
import sys

import pytest

from maskcls import progress as module
from maskcls.progress import progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Whether this is a terminal."""
        return True


def test_items_pass_in_their_order(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.INFO)
    assert list(progress(iter("abc"), total=3, phase="read")) == ["a", "b", "c"]
    assert (caplog.messages, capsys.readouterr()) == ([], ("", ""))


def test_without_a_terminal_there_is_a_line_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    clock = iter(range(0, 1000, 25))
    monkeypatch.setattr("maskcls.progress.time.monotonic", lambda: next(clock))
    for _ in progress(range(5), total=4500, phase="evaluate", size=1000):
        pass
    assert caplog.messages == ["evaluate: 3,000 of 4,500 images"]


def test_work_that_was_begun_goes_on_where_it_was_and_notes_are_shown_beside(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    clock = iter(range(0, 1000, 25))
    monkeypatch.setattr("maskcls.progress.time.monotonic", lambda: next(clock))
    for _ in progress(range(3), total=4500, phase="train", size=1000, initial=1000, note=lambda: "loss 1"):
        pass
    assert caplog.messages == ["train: 4,000 of 4,500 images, loss 1"]


def test_a_terminal_gets_a_bar_that_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BAR_DELAY", 0)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    list(progress(range(3), total=5, phase="read", unit="files", size=2))
    assert "read:   0%" in terminal.getvalue()
    assert "0/5" in terminal.getvalue()
    assert "files/s" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")


def test_of_work_of_unknown_length_the_amount_that_is_done_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    clock = iter(range(0, 1000, 25))
    monkeypatch.setattr("maskcls.progress.time.monotonic", lambda: next(clock))
    assert list(progress(range(5), total=None, phase="predict", unit="frames")) == [0, 1, 2, 3, 4]
    assert caplog.messages == ["predict: 3 frames"]
