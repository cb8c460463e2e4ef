"""The control groups of a process: found in the system's file of its memberships, from the inside to the outside."""

from pathlib import Path

import pytest

from maskcls.control_groups import control_groups


def found(folder: Path, membership: str) -> list[str]:
    """Return the groups that a membership means, by their paths in the folder of all groups."""
    (folder / "membership").write_text(membership)
    root = folder / "cgroup"
    groups = control_groups(root=root, membership=folder / "membership")
    return [group.relative_to(root).as_posix() for group in groups]


@pytest.mark.parametrize(
    ("membership", "groups"),
    [
        ("0::/\n", ["."]),
        ("0::/a/b/c\n", ["a/b/c", "a/b", "a", "."]),
        ("4:memory:/x\n1:cpu:/x\n0::/a\n", ["a", "."]),
        ("0::/a::b\n", ["a::b", "."]),
        ("", []),
        ("4:memory:/a\n1:cpu,cpuacct:/a\n", []),
        ("12:cpuset:/\n1:name=systemd:/0::/a\n", []),
    ],
)
def test_the_groups_of_version_2_are_found_up_to_the_root(tmp_path: Path, membership: str, groups: list[str]) -> None:
    assert found(tmp_path, membership) == groups


def test_a_system_without_groups_has_none(tmp_path: Path) -> None:
    assert list(control_groups(root=tmp_path, membership=tmp_path / "none")) == []
