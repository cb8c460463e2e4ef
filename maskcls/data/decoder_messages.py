"""What C libraries print while they decode an image, caught so that the file can be named.

libjpeg prints "Corrupt JPEG data: ..." to the C library's ``stderr``, without the file's name. glibc lets programs set
that variable (https://www.gnu.org/software/libc/manual/html_node/Standard-Streams.html). While threads decode, it is a
stream whose output comes here, in the thread that decodes. The file descriptor 2 stays as it is, and with it all that
Python prints: progress bars, log lines, tracebacks. Elsewhere than on glibc the libraries print as ever.
"""

import contextlib
import ctypes
import os
import platform
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_UNBUFFERED = 2
# a thread may wait for Python's lock while it prints: it must not hold a lock of the stream meanwhile
_WITHOUT_LOCK = 2
_WRITE = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
# what each thread's decoder has printed; a thread that does not decode has no list
_printed = threading.local()


class _StreamFunctions(ctypes.Structure):
    _fields_ = (("read", ctypes.c_void_p), ("write", _WRITE), ("seek", ctypes.c_void_p), ("close", ctypes.c_void_p))


def _write(_cookie: int | None, text: int, length: int) -> int:
    content = ctypes.string_at(text, length)
    parts: list[bytes] | None = getattr(_printed, "parts", None)
    if parts is not None:
        parts.append(content)
    else:
        with contextlib.suppress(OSError):
            os.write(2, content)
    return length


# kept, because C keeps its address only
_WRITER = _WRITE(_write)


class _Stderr:
    """The C library's ``stderr``, which threads that decode replace together.

    Attributes:
        variable: the C library's variable.
        original: its value, the address of a stream, while nobody decodes.
        listening: its value while somebody decodes.
        threads: threads that decode.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        library.fopencookie.argtypes = [ctypes.c_void_p, ctypes.c_char_p, _StreamFunctions]
        library.fopencookie.restype = ctypes.c_void_p
        stream = ctypes.c_void_p(library.fopencookie(None, b"w", _StreamFunctions(None, _WRITER, None, None)))
        library.setvbuf(stream, None, _UNBUFFERED, ctypes.c_size_t(0))
        set_locking = library["__fsetlocking"]  # as an attribute its name would be mangled
        set_locking(stream, _WITHOUT_LOCK)
        self.variable = ctypes.c_void_p.in_dll(library, "stderr")
        self.original, self.listening = self.variable.value, stream.value
        self._reset()
        os.register_at_fork(after_in_child=self._reset)  # the threads that decode are the parent's

    def _reset(self) -> None:
        self.threads, self.lock = 0, threading.Lock()
        self.variable.value = self.original

    def count(self, change: int) -> None:
        """Say that a thread begins to decode, +1, or ends, -1."""
        with self.lock:
            self.threads += change
            self.variable.value = self.listening if self.threads else self.original


_STDERR = _Stderr(ctypes.CDLL(None)) if platform.libc_ver()[0] == "glibc" else None


def listening(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> tuple[Result, str]:
    """Call a function of a C library.

    Returns:
        What it returned, and what the C library printed to ``stderr`` in this thread meanwhile, without line breaks.
    """
    if _STDERR is None:
        return function(*args, **kwargs), ""
    parts: list[bytes] = []
    _printed.parts = parts
    _STDERR.count(+1)
    try:
        result = function(*args, **kwargs)
    finally:
        _STDERR.count(-1)
        _printed.parts = None
    return result, " ".join(b"".join(parts).decode(errors="replace").split()) if parts else ""
