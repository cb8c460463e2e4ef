import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from maskcls.data.decoder_messages import listening

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only glibc lets programs set stderr")


def say(text: str) -> int:
    """Print as a C library does."""
    library = ctypes.CDLL(None)
    stream = ctypes.c_void_p.in_dll(library, "stderr")
    return library.fputs(text.encode(), stream)


def test_what_a_library_prints_is_returned_and_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    result, text = listening(lambda: [say("Corrupt data:\n"), say("  7 bytes\n"), "decoded"][-1])
    assert (result, text) == ("decoded", "Corrupt data: 7 bytes")
    assert listening(abs, -3) == (3, "")
    assert capfd.readouterr() == ("", "")


def test_what_is_printed_otherwise_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        say("hidden")
        print("a progress bar", file=sys.stderr)
        raise ValueError("no image")

    with pytest.raises(ValueError, match="no image"):
        listening(fail)
    say("shown\n")
    assert capfd.readouterr().err == "a progress bar\nshown\n"


def test_threads_do_not_hear_each_other() -> None:
    def work(number: int) -> tuple[int, str]:
        return listening(lambda: [say(f"{number}") for _ in range(number % 3)].count(0) * 0 + number)

    with ThreadPoolExecutor(8) as pool:
        heard = list(pool.map(work, range(3000)))
    assert heard == [(number, str(number) * (number % 3)) for number in range(3000)]


def test_the_stream_is_replaced_only_while_somebody_decodes() -> None:
    variable = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr")
    before = variable.value
    during, _ = listening(lambda: (variable.value, listening(lambda: variable.value)[0], variable.value))
    assert before not in during
    assert len(set(during)) == 1
    assert variable.value == before
