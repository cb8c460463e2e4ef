"""The process set up for the CPU: as many threads as cores that it may use, and no denormal numbers."""

import ctypes
import sys
from types import SimpleNamespace

import pytest
import torch

from maskcls.models import cpu
from maskcls.models.cpu import default_threads, prepare_cpu


@pytest.mark.parametrize(("own", "usable", "threads"), [(8, 8, 8), (8, 3, 3), (2, 16, 2), (1, 1, 1)])
def test_by_default_there_is_a_thread_for_each_core(
    own: int, usable: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_DEFAULT_THREADS", own)
    monkeypatch.setattr(cpu, "usable_cores", lambda: usable)
    assert default_threads() == threads
    assert prepare_cpu(None) == threads
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_threads_asked_for_are_taken_whatever_the_default_is(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "default_threads", lambda: 2)
    assert prepare_cpu(threads) == threads
    assert torch.get_num_threads() == threads


def test_the_default_does_not_follow_what_a_job_before_asked_for() -> None:
    default = default_threads()
    prepare_cpu(default + 1)
    assert prepare_cpu(None) == default


def test_denormal_numbers_become_zero() -> None:
    small = torch.full((8,), 1e-38)
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor keeps denormal numbers")
    assert (small / 100 > 0).all()
    prepare_cpu(1)
    assert (small / 100 == 0).all()


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What mallopt is called with since, in the place of the process's own."""
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: allocator(calls, largest=2**31 - 1))
    return calls


def allocator(calls: list[tuple[int, int]], largest: int) -> SimpleNamespace:
    """A library whose mallopt takes values up to ``largest``, as glibc's does, and says so."""

    def mallopt(option: int, value: int) -> int:
        calls.append((option, value))
        return int(value <= largest or option == -1)

    return SimpleNamespace(mallopt=mallopt)


def test_freed_memory_is_kept_on_linux(options: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    prepare_cpu(1)
    assert options == [(-3, 2**31 - 1), (-1, 2**31 - 1)]  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD


def test_an_older_glibc_gets_the_largest_value_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: allocator(calls, largest=2**25))
    prepare_cpu(1)
    assert calls == [(-3, 2**31 - 1), (-3, 2**25), (-1, 2**31 - 1)]


def test_the_second_option_is_not_set_where_the_first_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: allocator(calls, largest=0))
    prepare_cpu(1)
    assert [option for option, _ in calls] == [-3, -3]


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_memory_is_left_alone(
    platform: str, options: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    prepare_cpu(1)
    assert options == []


def test_a_system_without_mallopt_is_prepared_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert prepare_cpu(1) == 1
