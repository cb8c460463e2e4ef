"""What Linux's control groups say of this process: the limits that containers and schedulers set.

Of the control groups those of version 2 are known: https://docs.kernel.org/admin-guide/cgroup-v2.html.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def control_groups(root: Path = ROOT, membership: Path = MEMBERSHIP) -> Iterator[Path]:
    """The folders of the groups that hold this process, each before the one that holds it; none elsewhere.

    Args:
        root: folder of all groups.
        membership: the system's file of the groups of this process.
    """
    try:
        groups = [line.partition("::")[2] for line in membership.read_text().splitlines() if line.startswith("0::")]
    except OSError:
        return
    for group in groups:
        folder = root / group.strip("/")
        for path in (folder, *folder.parents):
            if path == root.parent:
                break
            yield path
