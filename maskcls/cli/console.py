"""Messages for terminals and logs, without control characters.

``configs/hydra/job_logging/maskcls.yaml`` names the two classes.
"""

import contextlib
import io
import logging
import sys
from typing import Any


def printable(text: str) -> str:
    """Return a text with escapes for what would move a terminal's cursor, colour it or hide letters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: object) -> str:
    """Return a message of several lines as one."""
    return " ".join(line.strip() for line in str(text).splitlines())


class SafeFormatter(logging.Formatter):
    """Formats lines of the run's log, which people read in terminals, too."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging's name
        """Format the line of a record."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Format a traceback, which keeps its lines."""
        return "\n".join(map(printable, super().formatException(ei).splitlines()))


def escape_missing_letters() -> None:
    """Let stdout and stderr escape letters that their encoding lacks: on Windows, that of a file is no Unicode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class ConsoleHandler(logging.Handler):
    """Writes records between progress bars, without tracebacks: information to stdout, the rest to stderr."""

    def __init__(self) -> None:
        super().__init__()
        escape_missing_letters()  # the process may be one of a launcher's

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        from tqdm import tqdm

        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        if stream is None:  # closed before the program began
            return
        with contextlib.suppress(OSError):  # a console that goes away does not end a training
            tqdm.write(printable(record.getMessage()), file=stream)
            stream.flush()
