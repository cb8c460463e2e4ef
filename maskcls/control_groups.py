"""Finds the control groups of this process, by which Linux containers and schedulers limit cores and memory.

Only version 2 of control groups is known: https://docs.kernel.org/admin-guide/cgroup-v2.html.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def control_groups(*, root: Path = ROOT, membership: Path = MEMBERSHIP) -> Iterator[Path]:
    """Yield the folders of the groups that contain this process, innermost first; none if there are no groups.

    Args:
        root: folder of all groups.
        membership: file in which the system names the groups of this process.
    """
    try:
        text = membership.read_text(encoding="utf-8")
        groups = [line.partition("::")[2] for line in text.splitlines() if line.startswith("0::")]
    except OSError:
        return
    for group in groups:
        folder = root / group.strip("/")
        for path in (folder, *folder.parents):
            if path == root.parent:
                break
            yield path
