"""How many cores this process may use, and work that is spread over them."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from maskcls.control_groups import MEMBERSHIP, ROOT, control_groups

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Cores that the process may run on: fewer than the machine has where it is bound to some, or has a share of them.

    Shares are those that Linux's control groups set.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(allowed, _quota(ROOT, MEMBERSHIP))))


def _quota(root: Path, membership: Path) -> float:
    """Cores that Linux's control groups let this process use, infinite where they set no bound.

    See https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files.
    """
    quota = math.inf
    for group in control_groups(root, membership):
        try:
            limit, period = (group / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if limit != "max":
            quota = min(quota, int(limit) / int(period))
    return quota


@contextmanager
def in_threads(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Iterator[Result]]:
    """Apply a function to items in threads; OpenCV, torch and the system release the interpreter's lock.

    Yields:
        The results, in the items' order. What has not been begun when the block ends, or is broken off, never is.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
