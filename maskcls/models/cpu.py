"""Set up the process for computing on the CPU: threads, memory and denormal numbers."""

import ctypes
import sys

import torch

from maskcls.cores import usable_cores

# torch takes OMP_NUM_THREADS, or else one thread for each core that this process may run on
_DEFAULT_THREADS = torch.get_num_threads()

# constants of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def prepare_cpu(threads: int | None) -> int:
    """Set the number of threads, keep freed memory, and round denormal numbers to zero: they are slow to compute with.

    Args:
        threads: number of CPU threads, None for `default_threads`.

    Returns:
        The number of threads.
    """
    chosen = threads or default_threads()
    torch.set_num_threads(chosen)
    torch.set_flush_denormal(True)
    _keep_freed_memory()
    return chosen


def default_threads() -> int:
    """The number of cores that this process may use: torch's own number, or fewer in a container with a share of them.

    Parallel jobs of a sweep share the cores by OMP_NUM_THREADS, which their launcher sets (joblib's does).
    """
    return min(_DEFAULT_THREADS, usable_cores())


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step.

    By default it returns blocks of some MB to the system, and gets them back, page by page, at the next step. That took
    half of MyCNN's time, and a fifth of ResNet-18's.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        # versions before about 2.36 refuse more than 32 MB; the second call without the first would make things worse
        if hasattr(libc, "mallopt") and any(libc.mallopt(M_MMAP_THRESHOLD, size) for size in (2**31 - 1, 2**25)):
            libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
