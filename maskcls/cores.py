"""Counts the cores that this process may use, and spreads work over threads."""

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from maskcls.control_groups import control_groups

SCHEDULE = Path("/proc/thread-self/schedstat")

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Count the cores that this process may use, at least one.

    The process may be bound to some cores, or Linux's control groups may give its container a share of their time.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(allowed, _quota(control_groups()))))


def seconds_in_queue() -> float:
    """Seconds for which this thread was ready to run, but had no core; 0.0 where the system does not tell.

    See https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat.
    """
    try:
        return int(SCHEDULE.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):  # another system than Linux, or a kernel that does not count
        return 0.0


def _quota(groups: Iterable[Path]) -> float:
    """Return how many cores' time the control groups of these folders allow; infinity if they set no limit.

    See https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files.
    """
    quota = math.inf
    for group in groups:
        try:
            limit, period = (group / "cpu.max").read_text(encoding="ascii").split()
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


def ahead(
    function: Callable[[Item], Result], items: Iterable[Item], count: int, *, threads: int = 1, name: str = "ahead"
) -> Generator[Result, None, None]:
    """Apply a function to items in other threads, while earlier results are in use.

    Args:
        function: applied to one item at a time in each thread.
        items: what it is applied to. They are taken by the thread that asks for the results.
        count: results that are made ahead of the one in use. With 0, an item is taken when its result is asked for.
        threads: number of threads. With one, items are worked on in their order.
        name: start of the threads' names.

    Yields:
        The results, in the order of the items. When they are no longer asked for, items not begun are dropped.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        pending: deque[Future[Result]] = deque()
        error: Exception | None = None
        taken = iter(items)
        while True:
            try:
                item = next(taken)
            except StopIteration:
                break
            except Exception as raised:  # the results of earlier items come before it
                error = raised
                break
            pending.append(pool.submit(function, item))
            if len(pending) > count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
        if error is not None:
            raise error
    finally:  # reached as well when the consumer breaks off
        pool.shutdown(cancel_futures=True)
