"""Counts the cores that this process may use, and spreads work over threads."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from maskcls.control_groups import control_groups

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Count the cores that this process may use, at least one.

    The process may be bound to some cores, or Linux's control groups may give its container a share of their time.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(allowed, _quota(control_groups()))))


def _quota(groups: Iterable[Path]) -> float:
    """Return how many cores' time the control groups of these folders allow; infinity if they set no limit.

    See https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files.
    """
    quota = math.inf
    for group in groups:
        try:
            limit, period = (group / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if limit != "max":
            quota = min(quota, int(limit) / int(period))
    return quota


@contextmanager
def in_threads(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Iterator[Result]]:
    """Apply a function to items in threads. This is parallel where OpenCV, torch or the system do the work.

    At the end of the block, also after an error, items that have not been begun are dropped.

    Yields:
        The results, in the order of the items.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
