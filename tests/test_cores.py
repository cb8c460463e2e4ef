"""The cores that a process may use: those that it is bound to, or the share that its container has of them."""

import hashlib
import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskcls import cores
from maskcls.cores import _quota, ahead, in_threads, seconds_in_queue, usable_cores


def quota(folder: Path, *limits: str | None) -> float:
    """Return the quota of nested groups whose files cpu.max hold ``limits``; None stands for no such file."""
    groups = [folder / str(number) for number in range(len(limits))]
    for group, limit in zip(groups, limits, strict=True):
        group.mkdir()
        if limit is not None:
            (group / "cpu.max").write_text(f"{limit}\n")
    return _quota(groups)


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("max 100000", math.inf),
        ("150000 100000", 1.5),
        ("50000 100000", 0.5),
        ("40000 10000", 4),
        ("200000", math.inf),  # not as documented
        ("", math.inf),
        (None, math.inf),
    ],
)
def test_the_quota_of_a_container_is_its_share_of_the_cores(tmp_path: Path, limit: str | None, cores: float) -> None:
    assert quota(tmp_path, limit) == cores


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        (("300000 100000", "200000 100000"), 2),
        (("100000 100000", None, "200000 100000"), 1),
        (("max 100000", "250000 100000", "max 100000"), 2.5),
        ((), math.inf),
    ],
)
def test_the_tightest_of_nested_groups_counts(tmp_path: Path, limits: tuple[str | None, ...], cores: float) -> None:
    assert quota(tmp_path, *limits) == cores


@pytest.mark.parametrize(
    ("allowed", "share", "usable"),
    [(8, math.inf, 8), (8, 8.0, 8), (8, 3.9, 3), (8, 1.5, 1), (8, 0.5, 1), (2, 16.0, 2), (1, math.inf, 1)],
)
def test_whole_cores_count_that_the_process_may_run_on(
    allowed: int, share: float, usable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(allowed)), raising=False)
    monkeypatch.setattr(cores, "_quota", lambda *paths: share)
    assert usable_cores() == usable


def test_a_system_without_affinity_counts_the_machines_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.setattr(cores, "_quota", lambda *paths: math.inf)
    assert usable_cores() == 5


def test_results_come_in_the_order_of_the_items() -> None:
    begun = threading.Event()

    def square(number: int) -> int:
        if number == 0:
            assert begun.wait(60)  # until a later item has been begun
        if number == 1:
            begun.set()
        return number**2

    with in_threads(square, range(5), 2) as results:
        assert list(results) == [0, 1, 4, 9, 16]


def test_items_that_have_not_been_begun_are_dropped_after_an_error() -> None:
    done: list[int] = []

    def fail_at_once(number: int) -> None:
        if number == 0:
            raise ValueError("broken")
        done.append(number)
        time.sleep(0.01)

    with pytest.raises(ValueError, match="broken"), in_threads(fail_at_once, range(10_000), 1) as results:
        list(results)
    assert len(done) < 10_000 - 1


def test_results_come_in_order_from_another_thread() -> None:
    def work(number: int) -> tuple[int, str]:
        return number**2, threading.current_thread().name

    found = list(ahead(work, range(5), 2, name="worker"))
    assert [square for square, _ in found] == [0, 1, 4, 9, 16]
    assert {name for _, name in found} == {"worker_0"}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_no_more_is_taken_ahead_than_asked_for(count: int, threads: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    for number, result in enumerate(ahead(lambda number: number**2, items(), count, threads=threads)):
        assert result == number**2
        assert len(taken) == min(20, number + count + 1)
    assert number == 19


def test_the_threads_end_when_no_more_is_asked_for() -> None:
    begun: list[int] = []
    results = ahead(begun.append, range(100), 2)
    next(results)
    results.close()
    assert len(begun) <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_an_error_comes_out_where_its_result_is_asked_for() -> None:
    results = ahead(lambda number: 1 / number, (2, 1, 0), 1)
    assert [next(results), next(results)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_results_of_items_before_an_error_come_first() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("no more")

    results = ahead(lambda number: number, items(), 10, threads=2, name="test")
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="no more"):
        next(results)


@pytest.mark.parametrize(("text", "seconds"), [("5 1500000000 7\n", 1.5), ("", 0.0), ("a b c", 0.0), (None, 0.0)])
def test_the_wait_for_a_core_is_read(
    text: str | None, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "SCHEDULE", tmp_path / "schedstat")
    if text is not None:
        (tmp_path / "schedstat").write_text(text)
    assert seconds_in_queue() == seconds


@pytest.mark.skipif(not cores.SCHEDULE.exists(), reason="only Linux tells")
def test_a_thread_that_shares_a_core_waits() -> None:
    core = min(os.sched_getaffinity(0))
    waits: list[float] = []

    def work() -> None:
        os.sched_setaffinity(0, {core})
        before, end = seconds_in_queue(), time.monotonic() + 0.3
        while time.monotonic() < end:
            hashlib.sha256(bytes(100_000))  # which gives Python's lock away
        waits.append(seconds_in_queue() - before)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(wait > 0.02 for wait in waits)
