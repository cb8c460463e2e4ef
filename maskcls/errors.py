"""Failures that maskcls explains in one line, each with its exit status."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# errors of the system that mean the machine failed: the disk or the user's share of it is full, a device is broken,
# or there are no memory or file descriptors left
MACHINE_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.ENOMEM, errno.EMFILE, errno.ENFILE),
)

# messages of libraries that have no error class for it: torch on the CPU, oneDNN, OpenCV, ONNX Runtime, and the
# libraries of NVIDIA and AMD. A library of a GPU takes memory for itself, beside what torch has reserved
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "Insufficient memory",
    "out of memory",
    "Failed to allocate memory",
    "could not create a primitive",
    "could not execute a primitive",
    "_ALLOC_FAILED",  # CUBLAS_STATUS_, CUDNN_STATUS_, CUSOLVER_STATUS_ and HIPBLAS_STATUS_
    "ALLOCATION_FAILED",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ and _HOST_, of cuDNN 9
    "miopenStatusAllocFailed",
    "rocblas_status_memory_error",
)

# how torch and Triton begin an error of a device, and what CUDA and HIP say then of one that is lost, broken or taken.
# An illegal address and a failed assertion are not among it: they are defects, and a traceback helps with them
_OF_DEVICE = ("CUDA error: ", "HIP error: ", "CUDA driver error: ", "Triton Error [CUDA]: ", "Triton Error [HIP]: ")
_DEVICE_FAILED = (
    "unspecified launch failure",
    "the launch timed out and was terminated",
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "hardware error",
    "GPU is lost",
    "GPU requires reset",
    "unknown error",
    "busy or unavailable",
    "no CUDA-capable device",
    "no ROCm-capable device",
    "MPS client has been terminated",
)


class MaskclsError(Exception):
    """A failure with a message for people: one line, no traceback.

    Attributes:
        exit_status: exit status of the process.
    """

    exit_status = 1


class UserError(MaskclsError):
    """The user's input is wrong: a key, a path, the data or a checkpoint. The message says what would be right."""

    exit_status = 2


class TrainingError(MaskclsError):
    """Training failed: a loss or gradient is not finite, or the network learns nothing and is to fail."""

    exit_status = 3


class AuditError(MaskclsError):
    """An audit found a problem that ``fail_on`` names."""

    exit_status = 4


class MachineError(MaskclsError):
    """The machine failed: for example, the disk is full, memory ran out, or a GPU is lost."""

    exit_status = 5


def raise_machine_failure(error: OSError, path: Path) -> None:
    """Raise an error of reading or writing a file again if the machine failed, with the file's name.

    The system names the file where it is opened, not where it is read.
    """
    if error.errno in MACHINE_ERRORS:
        error.filename = error.filename or str(path)
        raise error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any library means that memory ran out. No library is imported for this."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"MemoryError", "OutOfMemoryError"}:
        return True
    # the last two are ONNX Runtime's
    return bool(kinds & {"RuntimeError", "error", "Fail", "RuntimeException"}) and any(
        text in str(error) for text in _OUT_OF_MEMORY
    )


def device_failure(error: BaseException) -> str | None:
    """What torch says if the device that computes is lost or broken; None if the error means something else.

    The first line of its message: those after it are advice for who looks for a defect.
    """
    line = str(error).partition("\n")[0]
    is_of_device = isinstance(error, RuntimeError) and any(start in line for start in _OF_DEVICE)
    return line if is_of_device and any(text in line for text in _DEVICE_FAILED) else None


@contextmanager
def explained(explain: Callable[[], MachineError]) -> Iterator[None]:
    """If the block runs out of memory, raise what ``explain`` returns in place of the library's own error."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise explain() from None
