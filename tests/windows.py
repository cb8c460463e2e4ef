"""Linux that refuses and lacks what Windows does, so that whole commands can be run as if there.

There, a file cannot be renamed, replaced or removed while it is open or mapped into memory; /proc knows which files
are. Only this process is looked at. ``python tests/windows.py train data=synthetic ...`` runs a command so, from the
first import of maskcls on.
"""

import builtins
import errno
import os
import shutil
import signal
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import filelock
import pytest

# what the modules os and signal lack there, of what maskcls and its libraries may use
MISSING = {
    os: ("fork", "forkpty", "sync", "sched_getaffinity", "posix_fallocate", "killpg", "setsid", "mkfifo", "nice"),
    signal: ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGALRM", "alarm", "setitimer", "pthread_sigmask", "sigwait"),
}
MISSING_MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "posix", "readline")


def open_files() -> Iterator[str]:
    """Yield the paths of the files and folders that this process has open or mapped; some more than once."""
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one of the listing
            yield os.readlink(f"/proc/self/fd/{descriptor}")
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        yield line.split(maxsplit=5)[5] if line.count("/") else ""


def is_open(path: Any) -> bool:
    """Whether a file is open, under any of its names, or anything below a folder is."""
    if not os.path.lexists(path):
        return False
    state, below = os.lstat(path), os.path.join(os.path.realpath(path), "")
    for opened in set(open_files()):
        with suppress(OSError):  # a pipe, or a file that was removed
            if opened.startswith(below) or os.path.samestat(os.stat(opened), state):
                return True
    return False


def refuse(path: Any) -> NoReturn:
    """Raise what Windows raises for a file that a program uses."""
    raise PermissionError(errno.EACCES, "The process cannot access the file because another one uses it", str(path))


def refusing(real: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function of os refuse files that are open; its arguments are one path or two."""

    def function(*paths: Any, **options: Any) -> Any:
        for path in paths:
            if is_open(path):
                refuse(path)
        return real(*paths, **options)

    return function


def fsync(descriptor: int) -> None:
    """Refuse what was opened to be read. Nothing is flushed: it is the refusal that matters."""
    flags = dict(line.split(":") for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text("ascii").splitlines())
    if int(flags["flags"], 8) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def pretend(patch: pytest.MonkeyPatch) -> None:
    """Make the system refuse what Windows refuses, and lack what Windows lacks."""
    patch.setattr(os, "rename", refusing_to_replace(os.rename))
    for name in ("unlink", "remove", "rename", "replace"):
        patch.setattr(os, name, refusing(getattr(os, name)))
    patch.setattr(os, "fsync", fsync)
    patch.setattr(os, "open", opening_files(os.open))
    patch.setattr(shutil, "_use_fd_functions", False)  # a folder cannot be opened
    patch.setattr(filelock.UnixFileLock, "_release", removing(filelock.UnixFileLock._release))
    for module, names in MISSING.items():
        for name in names:
            patch.delattr(module, name, raising=False)
    patch.setattr(builtins, "__import__", importing(builtins.__import__))


def refusing_to_replace(real: Callable[..., Any]) -> Callable[..., Any]:
    """Let os.rename refuse a target that exists."""

    def rename(source: Any, target: Any, **options: Any) -> Any:
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        return real(source, target, **options)

    return rename


def opening_files(real: Callable[..., int]) -> Callable[..., int]:
    """Let os.open refuse folders, except to make a file without a name in one, which stands for O_TEMPORARY."""

    def open_file(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        is_folder = not flags & os.O_CREAT and os.path.lexists(path) and stat.S_ISDIR(os.stat(path).st_mode)
        if is_folder and flags & os.O_TMPFILE != os.O_TMPFILE:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *arguments, **options)

    return open_file


def importing(real: Callable[..., Any]) -> Callable[..., Any]:
    """Let maskcls find no module that is missing there. The libraries are Linux's own, and need some."""

    def find(name: str, namespace: Any = None, *arguments: Any, **options: Any) -> Any:
        if name in MISSING_MODULES and (namespace or {}).get("__name__", "").startswith("maskcls"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, namespace, *arguments, **options)

    return find


def removing(release: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let filelock remove a lock file once it is released, as its class for Windows does."""

    def function(lock: Any) -> None:
        release(lock)
        with suppress(OSError):
            os.unlink(lock.lock_file)

    return function


def ignore_case(patch: pytest.MonkeyPatch) -> None:
    """Let the system find files and folders by other capitals than they have, as macOS does, too."""
    real = os.stat

    def stat_file(path: Any, **options: Any) -> os.stat_result:
        return real(path if isinstance(path, int) else with_capitals(os.path.abspath(path)), **options)

    patch.setattr(os, "stat", stat_file)


def with_capitals(path: str) -> str:
    """The path of a file or a folder in its own capitals; as it is if there is none."""
    found = "/"
    for part in Path(path).parts[1:]:
        names = os.listdir(found) if os.path.lexists(found) and not os.path.isfile(found) else []
        alike = [name for name in names if name.casefold() == part.casefold()]
        found = os.path.join(found, part if part in alike or not alike else alike[0])
    return found


def main(command: str, *arguments: str) -> int:
    """Run a command. The libraries are imported before, as they are Linux's own."""
    import hydra  # noqa: F401
    import torch  # noqa: F401

    with pytest.MonkeyPatch.context() as patch:
        pretend(patch)
        warnings.filterwarnings("error", category=EncodingWarning, module="maskcls")  # that of Windows is no Unicode
        from maskcls import cli

        return cli.main(command, arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
