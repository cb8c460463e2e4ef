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
    device_failure,
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
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
        RuntimeError("CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`"),
        RuntimeError("MIOpen error: miopenStatusAllocFailed"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB)"),
        OnnxRuntimeFail("[ONNXRuntimeError] : 1 : FAIL : running Conv node: Failed to allocate memory for requested"),
        OnnxRuntimeException("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : during initialization: std::bad_alloc"),
        cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes"),
    ],
    ids=range(20),
)
def test_libraries_say_in_many_ways_that_memory_ran_out(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes differ"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
        torch.AcceleratorError("CUDA error: unspecified launch failure"),
        ValueError("out of memory"),
        OSError(errno.ENOSPC, "No space left on device"),
        UserError("the photograph is called out of memory.png"),
        OnnxRuntimeFail("[ONNXRuntimeError] : 1 : FAIL : Load model failed: no graph"),
        cv2.error("OpenCV(5.0.0) resize.cpp:4: error: (-215:Assertion failed)"),
        KeyboardInterrupt(),
    ],
    ids=range(10),
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


LATER = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)


@pytest.mark.parametrize("kind", [RuntimeError, torch.AcceleratorError])
@pytest.mark.parametrize(
    "line",
    [
        "CUDA error: unspecified launch failure",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: uncorrectable NVLink error detected during the execution",
        "CUDA error: the launch timed out and was terminated",
        "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
        "CUDA error: no CUDA-capable device is detected",
        "CUDA error: unknown error",
        "CUDA driver error: unknown error",
        "CUDA error: GPU is lost",
        "HIP error: unspecified launch failure",
        "Triton Error [CUDA]: unspecified launch failure",
    ],
)
def test_a_lost_or_broken_device_is_told_in_a_line(kind: type[Exception], line: str) -> None:
    assert device_failure(kind(line + LATER)) == line
    assert not is_out_of_memory(kind(line + LATER))


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: device-side assert triggered" + LATER),
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered" + LATER),
        torch.AcceleratorError("CUDA error: misaligned address" + LATER),
        torch.AcceleratorError("CUDA error: hardware stack error" + LATER),
        torch.AcceleratorError("CUDA error: out of memory" + LATER),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("shapes differ\nCUDA error: unknown error"),
        RuntimeError("unknown error"),
        ValueError("CUDA error: unknown error"),
        UserError("the folder is called CUDA error: GPU is lost"),
        KeyboardInterrupt(),
    ],
    ids=range(11),
)
def test_a_defect_and_memory_that_runs_out_are_no_lost_device(error: BaseException) -> None:
    assert device_failure(error) is None
