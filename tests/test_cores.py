"""How many cores a process may use: those it is bound to, or its containers' share of them."""

import math
import os
from pathlib import Path

import pytest

from maskcls import cores
from maskcls.cores import _quota, usable_cores


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
