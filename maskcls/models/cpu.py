"""The process, set up for computing on the CPU: threads, memory and denormal numbers."""

import ctypes
import math
import sys
from pathlib import Path

import torch

# as OMP_NUM_THREADS says, else one a core that this process may run on
_DEFAULT_THREADS = torch.get_num_threads()

# of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def prepare_cpu(threads: int | None) -> int:
    """Set the number of threads; keep freed memory; round denormal numbers to zero, which are slow to compute with.

    Args:
        threads: None for `default_threads`.

    Returns:
        The number of threads.
    """
    chosen = threads or default_threads()
    torch.set_num_threads(chosen)
    torch.set_flush_denormal(True)
    _keep_freed_memory()
    return chosen


def default_threads() -> int:
    """As many as cores that this process may use: torch's own number, or fewer where a container has a share of them.

    Parallel jobs of a sweep share the cores by OMP_NUM_THREADS, which their launcher sets (joblib's does).
    """
    quota = _quota(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    return max(1, int(min(_DEFAULT_THREADS, quota)))


def _quota(root: Path, membership: Path) -> float:
    """Cores that Linux's control groups let this process use, infinite where they set no bound.

    See https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files.
    """
    quota = math.inf
    try:
        groups = [line.partition("::")[2] for line in membership.read_text().splitlines() if line.startswith("0::")]
    except OSError:
        return quota
    for group in groups:
        folder = root / group.strip("/")
        for path in (folder, *folder.parents):
            if path == root.parent:
                break
            try:
                limit, period = (path / "cpu.max").read_text().split()
            except (OSError, ValueError):
                continue
            if limit != "max":
                quota = min(quota, int(limit) / int(period))
    return quota


def _keep_freed_memory() -> None:
    """Have glibc keep what is freed for the next step.

    By default it gives blocks of some MB back to the system, and gets them anew, page by page, at the next step. That
    took half of MyCNN's time, and a fifth of ResNet-18's.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_MMAP_THRESHOLD, 2**31 - 1)
            libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
