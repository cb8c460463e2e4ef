"""Commands as tests run them, with a function of the test in the place of what the command does."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from maskcls.run import Run

SYNTHETIC = "data=synthetic"


class Result(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


Command = Callable[..., Result]
Job = Callable[[Any, Run], Any]
ReplaceJob = Callable[[Job], None]


def nothing(config: Any, run: Run) -> None:
    """A job without work."""


def failing(error: BaseException) -> Job:
    """A job that raises an error."""

    def function(config: Any, run: Run) -> None:
        raise error

    return function


def assert_refused(result: Result, message: str) -> None:
    """One line on stderr that is the message, nothing on stdout, no file left behind."""
    assert result == Result(2, "", message + "\n")
    assert list(Path().iterdir()) == []


def only_run() -> Path:
    """The one run directory that there is."""
    (directory,) = Path("outputs").glob("*/*")
    return directory


def os_error(number: int, filename: str | None = None) -> OSError:
    """An error as the system raises it."""
    return OSError(number, "the system's words", filename)


def nothing_written(name: str) -> None:
    """Raise what a full disk raises."""
    raise os_error(errno.ENOSPC, f"/disk/{name}")


def assert_training_refused(command: Command, typed: str, message: str) -> None:
    """Training with what is typed, on synthetic faces unless that names a data set, ends in a message of one line."""
    arguments = typed.split(" ") if typed.startswith("data=") else [SYNTHETIC, *typed.split(" ")]
    assert_refused(command("train", *arguments), f"maskcls-train: {message.replace('{working}', str(Path.cwd()))}")


# names of files that people have, and that Hydra's grammar would trip over
ODD_NAMES = [
    "epoch=03-acc=0.98.pt",
    "two words.pt",
    "[1](2){3}.pt",
    "{a: b}",
    "it's.pt",
    'say "hi".pt',
    "one,two.pt",
    "#1 & co.pt",
    "얼굴/사진.pt",
    "é.pt",
    "C:\\runs\\best.pt",
    "ends in\\",
    "back\\'slash.pt",
    "two\\\\'.pt",
    "null.pt",
    "0",
    "100%.pt",
    "$HOME.pt",
    "choice(a).pt",
    "tab\there",
]
