"""Requests to stop: from the user (SIGINT), the system (SIGTERM), a closed terminal (SIGHUP), a scheduler (SIGUSR1).

Windows lacks the last two. It has SIGBREAK, which Ctrl-Break and other programs send.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGBREAK")
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop.

    Attributes:
        exit_status: status to end with, 128 plus the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


class _State:
    """State of this process. Signals belong to a process, not to an object.

    Attributes:
        received: number of the first signal that was received.
        keystrokes: how often SIGINT was received, which Ctrl-C sends.
        deferring: number of open blocks that must not be interrupted.
        is_leaving: whether the program has begun to end because of a signal.
    """

    received: int | None = None
    keystrokes: int = 0
    deferring: int = 0
    is_leaving: bool = False


@contextmanager
def listening() -> Iterator[None]:
    """Turn the signals into `Interrupted`, which is raised at once or, within a `deferred` block, at its end.

    A second SIGINT ends the process at once. A SIGHUP that is ignored, as under nohup, stays so. Outside of the main
    thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.received, _State.keystrokes, _State.deferring, _State.is_leaving = None, 0, 0, False
    unraisable = sys.unraisablehook
    sys.unraisablehook = lambda event: None if event.exc_type is Interrupted else unraisable(event)
    before = {number: signal.signal(number, _receive) for number in SIGNALS if not _is_ignored_hangup(number)}
    try:
        with _second_sigint_ends_the_process():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = unraisable
        _State.received = None


def _is_ignored_hangup(number: int) -> bool:
    return signal.Signals(number).name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN


def _receive(number: int, _: FrameType | None) -> None:
    _State.keystrokes += number == signal.SIGINT
    if _State.keystrokes > 1:
        os._exit(128 + number)
    if _State.received is not None:
        return  # the program is ending already
    _State.received = number
    if not _State.deferring:
        raise Interrupted(number)


@contextmanager
def _second_sigint_ends_the_process() -> Iterator[None]:
    """End the process at a second SIGINT even while Python's handlers wait for a long step in C to end.

    The handler of the system does not wait: it writes the number of each signal into a socket, which a thread reads.
    """
    reading, writing = socket.socketpair()
    writing.settimeout(0)

    def wait() -> None:
        keystrokes = 0
        while received := reading.recv(1):
            keystrokes += received[0] == signal.SIGINT
            if keystrokes > 1:
                os._exit(128 + signal.SIGINT)

    thread = threading.Thread(target=wait, daemon=True)
    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writing.close()
        thread.join()
        reading.close()


@contextmanager
def deferred() -> Iterator[None]:
    """Let no signal interrupt the block. `Interrupted` is raised at its end, unless the program has begun to end.

    An `Interrupted` that was raised in a destructor, where Python drops it, is raised here again. Only the main
    thread is interrupted at all.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.deferring += 1
    try:
        yield
    finally:
        _State.deferring -= 1
    if _State.received is not None and not _State.is_leaving and not _State.deferring:
        raise Interrupted(_State.received)


def leave() -> None:
    """Note that the program has begun to end because of a signal: from now on, nothing is interrupted."""
    _State.is_leaving = True
