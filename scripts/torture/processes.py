"""Commands of maskcls in separate processes."""

import multiprocessing
import os
import resource
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

# a process that takes more seconds than this hangs
PATIENCE = 120.0
# multiprocessing reads the status of all children when one is started; of two threads that read one, the second fails
_STATUSES = threading.Lock()
# exit status of a process that hangs, as of the command `timeout`
HANGS = 124


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        status: exit status as a shell sees it: 128 and the number of the signal after a signal.
        output: standard output and standard error together.
        seconds: from the moment when the process was waited for.
    """

    status: int
    output: str
    seconds: float

    @property
    def has_traceback(self) -> bool:
        """Whether the output shows a Python traceback."""
        return "Traceback" in self.output

    @property
    def error_lines(self) -> list[str]:
        """The lines of the output that begin with a command's name."""
        return [line for line in self.output.splitlines() if line.startswith("maskcls-")]


class Started(NamedTuple):
    """A process that was started, and the file that its output goes to."""

    process: ForkServerProcess
    output: Path

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        with _STATUSES:
            return self.process.exitcode is None

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the process has ended, or for so many seconds."""
        wait([self.process.sentinel], seconds)

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        self.process.kill()
        self.wait()

    def finish(self) -> Ended:
        """Wait for the end of the process. A process that hangs is killed."""
        start = time.monotonic()
        self.wait(PATIENCE)
        with _STATUSES:
            code = self.process.exitcode
        if code is None:
            self.kill()
            code = HANGS
        output = self.output.read_text(errors="replace") if self.output.exists() else ""
        return Ended(code if code >= 0 else 128 - code, output, time.monotonic() - start)


def run_command(command: Sequence[str]) -> int:
    """Run a command of maskcls in this process.

    Args:
        command: its name, such as ``train``, and its arguments.

    Returns:
        Its exit status.
    """
    from maskcls import cli

    return cli.main(command[0], list(command[1:]))


def _run_child(command: Sequence[str], output: str, limits: Mapping[int, int], stdin: Path | None) -> None:
    """Run a command in this process, with its input and output in files and the soft limits of `resource.setrlimit`."""
    if stdin:
        sys.stdin = stdin.open(encoding="utf-8")
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))
    sys.exit(run_command(command))


class Processes:
    """Starts commands in processes that have torch imported already, which saves some five seconds each."""

    def __init__(self, folder: Path) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(
            ["maskcls.commands.train", "maskcls.commands.evaluate", "maskcls.commands.predict"]
        )
        self.folder = folder
        self.count = 0

    def start(self, *command: str, limits: Mapping[int, int] | None = None, stdin: Path | None = None) -> Started:
        """Start a command: its name, such as ``train``, and its arguments; ``stdin`` is what is piped in."""
        self.count += 1
        output = self.folder / f"{self.count}.out"
        process = self.context.Process(target=_run_child, args=(command, str(output), limits or {}, stdin))
        with _STATUSES:
            process.start()
        return Started(process, output)

    def run(self, *command: str, limits: Mapping[int, int] | None = None, stdin: Path | None = None) -> Ended:
        """Start a command and wait for its end."""
        return self.start(*command, limits=limits, stdin=stdin).finish()
