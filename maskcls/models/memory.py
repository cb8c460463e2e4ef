"""How much memory a network takes for a batch, how much is free, and the batch size that fits."""

import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from maskcls.control_groups import MEMBERSHIP, ROOT, control_groups
from maskcls.errors import MachineError, is_out_of_memory
from maskcls.models import build_model

# what a process takes for each byte of tensors: allocators leave gaps, and convolutions use scratch space. For
# ResNet-18 at 224 pixels on the CPU that was 1.8; memory that is kept for the next step made it so from 1.2
OVERHEAD = 2.0
# bytes on the host for what is loaded and started later: libraries, threads
RESERVE = 5e8
# batch sizes between which memory is taken to grow evenly
FEW, MANY = 2, 256


@dataclass(frozen=True)
class Demand:
    """Tensors that a batch needs at its peak.

    Attributes:
        fixed: bytes, whatever the batch size: weights, gradients, the optimizer's state.
        per_image: bytes of each image more.
    """

    fixed: float
    per_image: float

    @classmethod
    def of(cls, step: Callable[[int], object]) -> "Demand":
        """Of a step that computes on a number of images.

        Memory is the largest of many sums that each grow evenly: between the two sizes looked at it is no more than
        what this says. Nothing is computed, and no memory taken: the step runs on torch's meta device, in float32.
        """
        few, many = peak_memory(lambda: step(FEW)), peak_memory(lambda: step(MANY))
        per_image = (many - few) / (MANY - FEW)
        return cls(few - FEW * per_image, per_image)

    def total(self, images: int) -> float:
        """Bytes that a process takes for so many images."""
        return OVERHEAD * (self.fixed + self.per_image * images)

    def largest_batch(self, free: float) -> int:
        """The largest power of two of images that free bytes are enough for, 0 for none."""
        images = int((free / OVERHEAD - self.fixed) // self.per_image)
        return 2 ** (images.bit_length() - 1) if images > 0 else 0


class _Storages(TorchDispatchMode):
    """Adds up the storages that exist, from when one is made until the last tensor on it is gone."""

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
    """Bytes of tensors that a computation has at most at a time, found on the meta device, where it takes none."""
    storages = _Storages()
    with torch.device("meta"), storages:
        compute()
    return storages.peak


def build_on_meta(config: Mapping[str, Any], classes: int, input_size: int) -> nn.Module:
    """The network that `build_model` builds, without values."""
    with torch.device("meta"):
        return build_model({**config, "pretrained": False}, classes, input_size)


def inference_demand(config: Mapping[str, Any], classes: int, input_size: int) -> Demand:
    """What `predict_logits` takes; the arguments are those of `build_model`."""

    @torch.inference_mode()
    def infer(images: int) -> None:
        model = build_on_meta(config, classes, input_size).eval()
        model(torch.empty(images, 3, input_size, input_size))

    return Demand.of(infer)


def free_memory(device: torch.device) -> float:
    """Bytes for tensors that this process can get: on the host no more than its limits and control groups allow."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + kept)
    import psutil

    free = float(psutil.virtual_memory().available)
    if sys.platform != "win32":
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            free = min(free, limit - psutil.Process().memory_info().vms)
    return max(0.0, min(free, _left_in_groups(ROOT, MEMBERSHIP)) - RESERVE)


def _left_in_groups(root: Path, membership: Path) -> float:
    """Bytes that Linux's control groups leave to this process, infinite where they set no bound.

    Pages of files that were not used of late are counted as left, since the system takes them back when it has to.
    """
    left = float("inf")
    for group in control_groups(root, membership):
        try:
            limit = (group / "memory.max").read_text().strip()
            if limit == "max":
                continue
            used = int((group / "memory.current").read_text())
            statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            left = min(left, int(limit) - used + int(statistics.get("inactive_file", 0)))
        except (OSError, ValueError):
            continue
    return left


@contextmanager
def explained_memory(key: str, size: int, free: float, demand: Callable[[], Demand]) -> Iterator[None]:
    """Say, where the block runs out of memory, what batch size is likely to fit.

    Args:
        key: that sets the batch size.
        size: the batch size.
        free: bytes that were free before.
        demand: returns what a batch takes.

    Raises:
        MachineError: instead of the error of the library that found no memory.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise MachineError(f"out of memory at {key}={size}: {advice(key, size, free, demand())}") from None


def advice(key: str, size: int, free: float, demand: Demand) -> str:
    """What to do about a batch size that does not fit."""
    fits = min(demand.largest_batch(free), size // 2)
    needs = f"it takes some {gigabytes(demand.total(size))}, and {gigabytes(free)} were free"
    return f"{needs}; {key}={fits} should fit" if fits else f"{needs}; a smaller data.input_size takes less"


def gigabytes(size: float) -> str:
    """Bytes in words."""
    return f"{size / 1e9:.1f} GB"
