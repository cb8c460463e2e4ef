"""The memory that a network takes for a batch, the memory that is free, and the batch size that fits."""

import contextlib
import dataclasses
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from maskcls.config import ModelConfig
from maskcls.control_groups import MEMBERSHIP, ROOT, control_groups
from maskcls.errors import MachineError
from maskcls.models.architecture import build_model
from maskcls.models.precision import Precision

# bytes that a process takes for each byte of tensors: allocators leave gaps, and convolutions use scratch space.
# Measured on the CPU, in float32 and bfloat16: 1.4 to 1.9. Without memory that is kept for the next step: 1.2. Not
# measured on a GPU: torch's allocator should leave smaller gaps there, but the graphs of a compiled model keep a step's
# memory, and the last, smaller batch of an epoch takes its own
OVERHEAD = 2.0
# bytes on the host for libraries and threads that are loaded and started later; on a GPU, for the code of kernels
RESERVE = 5e8
# two batch sizes; memory is assumed to grow linearly between them
FEW, MANY = 2, 256


@dataclass(frozen=True)
class Demand:
    """Bytes of the tensors that exist at the peak of a computation on a batch.

    Attributes:
        fixed: bytes that do not depend on the batch size: weights, gradients, the optimizer's state.
        per_image: further bytes for each image.
    """

    fixed: float
    per_image: float

    @classmethod
    def of(cls, step: Callable[[int], object]) -> "Demand":
        """Measure a step, a function of the number of images, as `peak_memory` does.

        The peak is the maximum of sums that each grow linearly, so it is convex: between the two sizes that are
        measured, the straight line is an upper bound.
        """
        few, many = peak_memory(lambda: step(FEW)), peak_memory(lambda: step(MANY))
        per_image = (many - few) / (MANY - FEW)
        return cls(few - FEW * per_image, per_image)

    def total(self, images: int) -> float:
        """Bytes that a process takes for a batch of this many images."""
        return OVERHEAD * (self.fixed + self.per_image * images)

    def largest_batch(self, free: float) -> int:
        """The largest power of two of images that fits into the free bytes, 0 if not even one image fits."""
        images = int((free / OVERHEAD - self.fixed) // self.per_image)
        return 2 ** (images.bit_length() - 1) if images > 0 else 0


class _Storages(TorchDispatchMode):
    """Sums up the storages that exist: each counts from its creation until its last tensor is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        self.bytes = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and (storage := tensor.untyped_storage()) not in self.known:
                self.known.add(storage)
                self.bytes += storage.nbytes()
                self.peak = max(self.peak, self.bytes)
                weakref.finalize(storage, self._forget, storage.nbytes())
        return result

    def _forget(self, size: int) -> None:
        self.bytes -= size


def peak_memory(compute: Callable[[], object]) -> int:
    """The most bytes of tensors that exist at one time in a computation.

    It runs on fake tensors: nothing is computed, and no memory is taken. Unlike tensors of the meta device, they have
    a device, the CPU, and so `as_on_cpu` can cast them.
    """
    # the first backward pass starts torch's threads for all others. If it is a fake one they are eight, and each takes
    # 75 MB of addresses
    torch.ones((), requires_grad=True).backward()
    storages = _Storages()
    with FakeTensorMode(), torch.device("cpu"), storages:
        compute()
    return storages.peak


def as_on_cpu(precision: Precision) -> AbstractContextManager[object]:
    """Cast the fake tensors of `peak_memory` as a precision does on its own device."""
    return dataclasses.replace(precision, device_type="cpu").autocast()


def inference_demand(config: ModelConfig, classes: int, input_size: int, precision: Precision) -> Demand:
    """The memory that predicting takes; the first arguments are those of `build_model`."""

    @torch.inference_mode()
    def infer(images: int) -> None:
        model = build_model(config, classes, input_size, pretrained=False).eval()
        with as_on_cpu(precision):
            model(torch.empty(images, 3, input_size, input_size))

    return Demand.of(infer)


def free_memory(device: torch.device) -> float:
    """Bytes that this process can still get for tensors, within its limits and control groups."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return max(0.0, torch.cuda.mem_get_info(device)[0] + kept - RESERVE)
    import psutil

    free = float(psutil.virtual_memory().available)
    with contextlib.suppress(ImportError):  # Windows has no such limits
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            free = min(free, limit - psutil.Process().memory_info().vms)
    return max(0.0, min(free, _left_in_groups(ROOT, MEMBERSHIP)) - RESERVE)


def _left_in_groups(root: Path, membership: Path) -> float:
    """Bytes that Linux's control groups leave to this process, infinite without a limit.

    Cached pages of files that are not in use count as left: the system takes them back when it has to.
    """
    left = float("inf")
    for group in control_groups(root=root, membership=membership):
        try:
            limit = (group / "memory.max").read_text(encoding="ascii").strip()
            if limit == "max":
                continue
            used = int((group / "memory.current").read_text(encoding="ascii"))
            statistics = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
            left = min(left, int(limit) - used + int(statistics.get("inactive_file", 0)))
        except (OSError, ValueError):
            continue
    return left


def out_of_memory(key: str, size: int, free: float, demand: Demand) -> MachineError:
    """The error for a batch that did not fit, with advice.

    Args:
        key: configuration key that sets the batch size.
        size: the batch size.
        free: bytes that were free before.
        demand: the memory that a batch takes.
    """
    return MachineError(f"out of memory at {key}={size}: {advice(key, size, free, demand)}")


def advice(key: str, size: int, free: float, demand: Demand) -> str:
    """Say how much memory a batch size takes, and which batch size fits; the arguments are those of `out_of_memory`."""
    fits = min(demand.largest_batch(free), size // 2)
    needs = f"it takes some {gigabytes(demand.total(size))}, and {gigabytes(free)} were free"
    return f"{needs}; {key}={fits} should fit" if fits else f"{needs}; a smaller data.input_size takes less"


def gigabytes(size: float) -> str:
    """Bytes as text, in gigabytes."""
    return f"{size / 1e9:.1f} GB"
