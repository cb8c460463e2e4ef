"""Being asked to stop: by the user (SIGINT), the system (SIGTERM) or a scheduler whose time is up (SIGUSR1)."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop.

    Attributes:
        exit_status: what it is to end with, 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


class _State:
    """Of the process: signals are its own.

    Attributes:
        received: the signal that asked first.
        keystrokes: how often SIGINT, which Ctrl-C sends, was received.
        deferring: how many blocks that must not be broken off are open.
        is_leaving: whether the program knows that it was asked.
    """

    received: int | None = None
    keystrokes: int = 0
    deferring: int = 0
    is_leaving: bool = False


@contextmanager
def listening() -> Iterator[None]:
    """Turn the signals into `Interrupted`, raised where the program is, or where the block of `deferred` ends.

    A second SIGINT ends the process at once. In threads other than the main one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.received, _State.keystrokes, _State.deferring, _State.is_leaving = None, 0, 0, False
    unraisable = sys.unraisablehook
    sys.unraisablehook = lambda event: None if event.exc_type is Interrupted else unraisable(event)
    before = {number: signal.signal(number, _receive) for number in SIGNALS}
    try:
        with _impatience():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = unraisable
        _State.received = None


def _receive(number: int, _: FrameType | None) -> None:
    _State.keystrokes += number == signal.SIGINT
    if _State.keystrokes > 1:
        os._exit(128 + number)
    if _State.received is not None:
        return  # it is stopping already
    _State.received = number
    if not _State.deferring:
        raise Interrupted(number)


@contextmanager
def _impatience() -> Iterator[None]:
    """End the process at a second SIGINT also where Python's handlers have to wait: within a long step, in C.

    The system's handler writes each signal's number into a pipe, at once.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)

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
    """Let no signal break off the block: `Interrupted` is raised at its end, unless the program is leaving.

    What was raised in a destructor, where Python drops it, is raised again here.
    """
    _State.deferring += 1
    try:
        yield
    finally:
        _State.deferring -= 1
    if _State.received is not None and not _State.is_leaving and not _State.deferring:
        raise Interrupted(_State.received)


def leave() -> None:
    """Say that `Interrupted` has arrived where it was to: from now on nothing is broken off."""
    _State.is_leaving = True
