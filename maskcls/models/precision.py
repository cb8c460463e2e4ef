"""Devices and number formats: what ``auto`` chooses on this machine, and why."""

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from maskcls.config import nearest
from maskcls.config.types import PrecisionChoice, PrecisionName
from maskcls.errors import UserError

DTYPES: dict[PrecisionName, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Precision:
    """The number format of forward passes. Weights and the loss stay float32.

    Attributes:
        name: the number format.
        device_type: cpu, cuda or mps.
    """

    name: PrecisionName
    device_type: str

    def autocast(self) -> AbstractContextManager[object]:
        """Run operations in this format if that is safe for them (https://docs.pytorch.org/docs/stable/amp.html)."""
        return torch.autocast(self.device_type, DTYPES[self.name], enabled=self.name != "float32")

    def grad_scaler(self) -> torch.amp.GradScaler:
        """Scale the loss for float16, whose gradients would underflow. It does nothing for other formats."""
        return torch.amp.GradScaler(self.device_type, enabled=self.name == "float16")


def choose_device(name: str) -> torch.device:
    """The device that ``device=name`` asks for.

    Raises:
        UserError: if this machine does not have it. The message says which devices it has.
    """
    available = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name == "auto":
        preferred = [device for device in available if device != "cpu"]
        return torch.device(preferred[0] if preferred else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:[0-9]+)?", name):
        hint = "; cuda is a GPU of NVIDIA or AMD, mps one of Apple" if name == "gpu" else nearest(name, ["cuda", "cpu"])
        raise UserError(f"device={name}: expected auto, cpu, cuda, cuda:N or mps{hint}")
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in available:
        raise UserError(
            f"device={name}: not on this machine, which has {', '.join(available)}; device=auto takes the best"
        )
    return torch.device(wanted)


def choose_precision(name: PrecisionChoice, device: torch.device) -> tuple[Precision, str]:
    """The precision that ``precision=name`` asks for, and the reason in words.

    ``auto`` chooses bfloat16 if the hardware multiplies it faster than float32, float16 on older GPUs, and float32
    otherwise: without support in hardware, bfloat16 is emulated and many times slower.

    Raises:
        UserError: if there is no such precision.
    """
    if name not in ("auto", *DTYPES):
        raise UserError(f"precision={name}: expected auto, {', '.join(DTYPES)}{nearest(name, DTYPES)}")
    if name != "auto":
        return Precision(name, device.type), "as configured"
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0):
            return Precision("bfloat16", "cuda"), "auto: this GPU has bfloat16 tensor cores"
        if torch.cuda.get_device_capability(device) >= (7, 0):
            return Precision("float16", "cuda"), "auto: this GPU has float16 tensor cores, but no bfloat16 ones"
        return Precision("float32", "cuda"), "auto: this GPU has no tensor cores"
    if device.type == "cpu":
        features = torch.cpu.get_capabilities()
        found = [key for key in ("amx_bf16", "avx512_bf16") if features.get(key)]
        if found:
            return Precision("bfloat16", "cpu"), f"auto: this CPU has {found[0]}"
        return Precision("float32", "cpu"), "auto: this CPU has no AMX or AVX-512 bfloat16"
    return Precision("float32", device.type), f"auto: float32 on {device.type}"
