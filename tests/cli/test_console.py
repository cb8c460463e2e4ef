"""Text for terminals."""

import errno
import io
import logging
import sys

import pytest
from jobs import Command

from maskcls.cli.console import ConsoleHandler, SafeFormatter, one_line, printable


def told(text: str) -> logging.LogRecord:
    return logging.LogRecord("maskcls", logging.INFO, "", 0, text, None, None)


def test_a_console_that_lacks_letters_shows_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", console)
    ConsoleHandler().handle(told("얼굴 1"))
    assert console.buffer.getvalue() == b"\\uc5bc\\uad74 1\n"


def test_a_console_that_was_closed_before_the_start_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    ConsoleHandler().emit(told("a message"))


def test_a_console_that_goes_away_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Closed())
    ConsoleHandler().handle(told("epoch 1"))
    assert written == ["epoch 1"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("faces/1.png", "faces/1.png"),
        ("얼굴 é", "얼굴 é"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[2J\x1b[31mred", "\\x1b[2J\\x1b[31mred"),
        ("a\rb\x07\x00", "a\\rb\\x07\\x00"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("\udcff.png", "\\udcff.png"),
    ],
)
def test_control_characters_do_not_reach_a_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_error_about_a_name_with_control_characters(command: Command) -> None:
    assert "\x1b" not in command("train", "data=folder", "data.root=/none/\x1b[31m").err


def test_a_message_of_several_lines_becomes_one() -> None:
    assert one_line(ValueError("shapes differ:\n  [1]\n\t[2]")) == "shapes differ: [1] [2]"


def test_a_log_keeps_the_lines_of_a_traceback_and_nothing_that_moves_the_cursor() -> None:
    try:
        raise ValueError("a \x1b[2J b\nc")
    except ValueError:
        record = logging.LogRecord("maskcls", logging.ERROR, "", 0, "file \x1b[31m", None, sys.exc_info())
    first, *traceback = SafeFormatter("%(levelname)s %(message)s").format(record).splitlines()
    assert first == "ERROR file \\x1b[31m"
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-2:] == ["ValueError: a \\x1b[2J b", "c"]
