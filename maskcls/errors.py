"""The failures that maskcls explains in one line, each with the exit status it ends in."""

import errno

# what the system says where the machine fails: the disk, or the user's share of it, is full; a device is broken;
# there is no memory, or no descriptor, left
MACHINE_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.ENOMEM, errno.EMFILE, errno.ENFILE),
)

# how libraries say it that raise no error of its own kind: torch on the CPU, oneDNN, OpenCV
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "Insufficient memory",
    "out of memory",
    "could not create a primitive",
    "could not execute a primitive",
)


class MaskclsError(Exception):
    """A failure with a message for people: one line, no traceback.

    Attributes:
        exit_status: what the process ends with.
    """

    exit_status = 1


class UserError(MaskclsError):
    """The user's input is wrong: a key, a path, the data or a checkpoint. The message says what would be right."""

    exit_status = 2


class TrainingError(MaskclsError):
    """Training failed as training: the loss is not finite any more."""

    exit_status = 3


class AuditError(MaskclsError):
    """An audit found what it was told to fail on."""

    exit_status = 4


class MachineError(MaskclsError):
    """The machine failed: the disk is full, a device is lost."""

    exit_status = 5


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any library, none of which is imported here, says that there is no memory left."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"MemoryError", "OutOfMemoryError"}:
        return True
    return bool(kinds & {"RuntimeError", "error"}) and any(text in str(error) for text in _OUT_OF_MEMORY)
