"""Failures with an exit status, and which errors of libraries mean that memory ran out."""

import errno
from pathlib import Path

import cv2
import pytest
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import Fail as OnnxRuntimeFail
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException as OnnxRuntimeException

from maskcls.errors import (
    MACHINE_ERRORS,
    AuditError,
    MachineError,
    MaskclsError,
    TrainingError,
    UserError,
    explained,
    is_out_of_memory,
    raise_machine_failure,
)


def test_each_failure_has_its_exit_status() -> None:
    kinds = (MaskclsError, UserError, TrainingError, AuditError, MachineError)
    assert [kind.exit_status for kind in kinds] == [1, 2, 3, 4, 5]
    assert all(issubclass(kind, MaskclsError) for kind in kinds)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.EFBIG])
def test_the_machine_is_at_fault(number: int) -> None:
    assert number in MACHINE_ERRORS


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENAMETOOLONG, errno.EPERM])
def test_the_user_is_at_fault(number: int) -> None:
    assert number not in MACHINE_ERRORS


def test_a_failure_of_the_machine_names_the_file_that_was_read() -> None:
    for number, filename in ((errno.EIO, None), (errno.EIO, "a.png")):
        with pytest.raises(OSError, match="failed") as raised:
            raise_machine_failure(OSError(number, "failed", filename), Path("a.png"))
        assert raised.value.filename == "a.png"
    raise_machine_failure(OSError(errno.ENOENT, "none"), Path("a.png"))  # that is no failure of the machine


class NumpyError(MemoryError):
    """As NumPy's, which is one of Python's."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        NumpyError("Unable to allocate 8.00 TiB"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:75] DefaultCPUAllocator: not enough memory"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("could not create a primitive"),
        RuntimeError("could not execute a primitive"),
        RuntimeError("CUDA error: out of memory"),
        OnnxRuntimeFail("[ONNXRuntimeError] : 1 : FAIL : running Conv node: Failed to allocate memory for requested"),
        OnnxRuntimeException("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : during initialization: std::bad_alloc"),
        cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes"),
    ],
    ids=range(12),
)
def test_libraries_say_in_many_ways_that_memory_ran_out(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes differ"),
        ValueError("out of memory"),
        OSError(errno.ENOSPC, "No space left on device"),
        UserError("the photograph is called out of memory.png"),
        OnnxRuntimeFail("[ONNXRuntimeError] : 1 : FAIL : Load model failed: no graph"),
        cv2.error("OpenCV(5.0.0) resize.cpp:4: error: (-215:Assertion failed)"),
        KeyboardInterrupt(),
    ],
    ids=range(7),
)
def test_other_errors_do_not_say_so(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_an_allocation_that_is_too_large_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_memory_that_runs_out_is_explained() -> None:
    explanation = MachineError("batch_size=8 should fit")
    with pytest.raises(MachineError) as caught, explained(lambda: explanation):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert caught.value is explanation
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), TrainingError("the loss is nan")])
def test_other_errors_pass(error: Exception) -> None:
    def never() -> MachineError:
        raise AssertionError

    with pytest.raises(type(error)) as caught, explained(never):
        raise error
    assert caught.value is error
