"""Signals: what they interrupt, what they wait for, and what a second one does."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from maskcls.interrupts import SIGNALS, Interrupted, deferred, leave, listening


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_with_the_status_of_shells(number: int) -> None:
    with pytest.raises(Interrupted) as caught, listening():
        os.kill(os.getpid(), number)
    assert caught.value.exit_status == 128 + number


def test_a_signal_waits_for_the_block_that_defers_it() -> None:
    done = []

    def work() -> None:
        with deferred():
            with deferred():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("after")

    with listening(), pytest.raises(Interrupted):
        work()
    assert done == ["inner", "outer"]


def test_on_the_way_out_nothing_is_interrupted_again() -> None:
    done = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            leave()
            with deferred():
                os.kill(os.getpid(), signal.SIGUSR1)
                done.append("saved")
            done.append("reported")

    with listening(), pytest.raises(Interrupted):
        work()
    assert done == ["saved", "reported"]


def test_an_error_in_a_block_that_defers_is_handed_on() -> None:
    def work() -> None:
        with deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ValueError("broken")

    with listening(), pytest.raises(ValueError, match="broken"):
        work()


def test_the_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with listening():
        assert all(signal.getsignal(number) not in before for number in SIGNALS)
    assert [signal.getsignal(number) for number in SIGNALS] == before
    with listening():
        pass  # a signal of before is forgotten


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with listening():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_listen_to_nothing() -> None:
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def listen() -> None:
        with listening():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert found == [before]


def test_a_second_sigint_stops_at_once() -> None:
    code = """
import os, signal
from maskcls.interrupts import deferred, listening
with listening(), deferred():
    os.kill(os.getpid(), signal.SIGINT)
    print("first", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("second", flush=True)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (130, "first\n")


def test_a_system_with_other_signals() -> None:
    code = """
import signal
del signal.SIGHUP, signal.SIGUSR1
signal.SIGBREAK = signal.SIGUSR2  # a number that can be sent here
from maskcls.interrupts import SIGNALS, Interrupted, listening
print(SIGNALS == (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK))
try:
    with listening():
        signal.raise_signal(signal.SIGBREAK)
except Interrupted as error:
    print(error.exit_status == 128 + signal.SIGBREAK)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.stderr) == ("True\nTrue\n", "")


WITHIN_C = """
import os, signal, sys, threading, time
from maskcls.interrupts import deferred, listening

def press(*numbers):
    for number in numbers:
        time.sleep(0.2)
        os.kill(os.getpid(), number)

numbers = [getattr(signal, name) for name in sys.argv[1:]]
with listening(), deferred():
    threading.Thread(target=press, args=numbers, daemon=True).start()
    deadline = time.monotonic() + 2
    libc = __import__("ctypes").CDLL(None)
    while time.monotonic() < deadline:
        libc.usleep(900_000)  # Python's handlers do not run in here
    print("saved", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of other systems")
@pytest.mark.parametrize(
    ("names", "status", "output"),
    [
        (["SIGINT", "SIGINT"], 130, ""),
        (["SIGTERM", "SIGINT"], 1, "saved\n"),  # the traceback's: nobody catches it here
        (["SIGINT", "SIGTERM", "SIGUSR1"], 1, "saved\n"),
    ],
)
def test_only_a_second_sigint_does_not_wait(names: list[str], status: int, output: str) -> None:
    start = time.monotonic()
    result = subprocess.run([sys.executable, "-c", WITHIN_C, *names], capture_output=True, text=True, timeout=60)
    assert result.stdout == output
    assert result.returncode in (status, 130)  # Python ends with 130 where KeyboardInterrupt is not caught
    if not output:
        assert time.monotonic() - start < 2


def test_what_a_destructor_drops_is_raised_at_the_next_opportunity(capsys: pytest.CaptureFixture[str]) -> None:
    class Dropped:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    done = []

    def work() -> None:
        Dropped()
        done.append("went on")
        with deferred():
            done.append("step")
        done.append("after")

    with listening(), pytest.raises(Interrupted):
        work()
    assert done == ["went on", "step"]
    assert capsys.readouterr().err == ""


def interrupted_beside(thread: threading.Thread) -> None:
    with deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        thread.start()
        thread.join()


def test_other_threads_are_not_interrupted() -> None:
    ended: list[str] = []

    def work() -> None:
        with deferred():
            pass
        ended.append("whole")

    thread = threading.Thread(target=work)
    with listening(), pytest.raises(Interrupted):
        interrupted_beside(thread)
    assert ended == ["whole"]
