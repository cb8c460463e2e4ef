"""The process set up for the CPU: as many threads as cores that it may use, and no denormal numbers."""

import ctypes
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from maskcls.models import cpu
from maskcls.models.cpu import _quota, default_threads, prepare_cpu


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """The folder of the control groups."""
    (tmp_path / "cgroup").mkdir()
    return tmp_path / "cgroup"


def quota(groups: Path, membership: str, limits: dict[str, str]) -> float:
    """The cores that a process of these groups may use, with cpu.max of each folder as in ``limits``."""
    for folder, limit in limits.items():
        (groups / folder).mkdir(parents=True, exist_ok=True)
        (groups / folder / "cpu.max").write_text(f"{limit}\n")
    (groups.parent / "membership").write_text(membership)
    return _quota(groups, groups.parent / "membership")


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({"": "max 100000"}, math.inf),
        ({"": "150000 100000"}, 1.5),
        ({"": "50000 100000"}, 0.5),
        ({"": "40000 10000"}, 4),
        ({"": "200000"}, math.inf),  # not as documented
        ({"": ""}, math.inf),
        ({}, math.inf),
    ],
)
def test_the_quota_of_a_container_is_its_share_of_the_cores(groups: Path, limits: dict[str, str], cores: float) -> None:
    assert quota(groups, "0::/\n", limits) == cores


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({"a/b/c": "300000 100000"}, 3),
        ({"a/b/c": "300000 100000", "a": "200000 100000"}, 2),
        ({"a/b/c": "100000 100000", "a": "200000 100000"}, 1),
        ({"a/b/c": "max 100000", "a/b": "250000 100000", "a": "max 100000"}, 2.5),
        ({"a/b/c": "300000 100000", "": "100000 100000"}, 1),
        ({"a/b/c": "max 100000", "a/b/d": "100000 100000", "e": "100000 100000"}, math.inf),  # others' groups
    ],
)
def test_the_tightest_of_nested_groups_counts(groups: Path, limits: dict[str, str], cores: float) -> None:
    assert quota(groups, "0::/a/b/c\n", limits) == cores


def test_what_is_above_the_groups_is_not_looked_at(groups: Path) -> None:
    (groups.parent / "cpu.max").write_text("100000 100000")
    assert quota(groups, "0::/a\n", {"a": "200000 100000"}) == 2


@pytest.mark.parametrize("membership", ["", "4:memory:/a\n1:cpu,cpuacct:/a\n", "12:cpuset:/\n1:name=systemd:/0::/a\n"])
def test_groups_of_the_first_version_set_no_bound_here(groups: Path, membership: str) -> None:
    assert quota(groups, membership, {"a": "100000 100000"}) == math.inf


def test_the_second_versions_line_is_found_among_others(groups: Path) -> None:
    assert quota(groups, "4:memory:/x\n1:cpu:/x\n0::/a\n", {"a": "150000 100000", "x": "100000 100000"}) == 1.5


def test_a_group_whose_name_has_colons_is_found(groups: Path) -> None:
    assert quota(groups, "0::/a::b\n", {"a::b": "150000 100000"}) == 1.5


def test_a_system_without_groups_sets_no_bound(tmp_path: Path) -> None:
    assert _quota(tmp_path / "none", tmp_path / "none") == math.inf


@pytest.mark.parametrize(
    ("cores", "share", "threads"),
    [(8, math.inf, 8), (8, 8.0, 8), (8, 3.9, 3), (8, 1.5, 1), (8, 0.5, 1), (2, 16.0, 2), (1, math.inf, 1)],
)
def test_by_default_there_is_a_thread_for_each_whole_core(
    cores: int, share: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_DEFAULT_THREADS", cores)
    monkeypatch.setattr(cpu, "_quota", lambda *paths: share)
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
    libc = SimpleNamespace(mallopt=lambda *call: calls.append(call))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: libc)
    return calls


def test_freed_memory_is_kept_on_linux(options: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    prepare_cpu(1)
    assert options == [(-3, 2**31 - 1), (-1, 2**31 - 1)]  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD


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
