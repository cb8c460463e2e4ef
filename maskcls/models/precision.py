"""Number formats: what ``auto`` chooses on a device and why, and how float32 values are multiplied."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from maskcls.config import nearest
from maskcls.config.types import PrecisionChoice, PrecisionName
from maskcls.errors import UserError

# the formats of the values; those of TF32 are float32, and only their products are shorter
DTYPES: dict[PrecisionName, torch.dtype] = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# instructions of CPUs that multiply a format
INSTRUCTIONS: dict[PrecisionName, tuple[str, str]] = {
    "bfloat16": ("amx_bf16", "avx512_bf16"),
    "float16": ("amx_fp16", "avx512_fp16"),
}
# the compute capability from which GPUs multiply a format in tensor cores
CAPABILITIES: dict[PrecisionName, tuple[int, int]] = {"tf32": (8, 0), "bfloat16": (8, 0), "float16": (7, 0)}
# what auto takes instead of float32 where the hardware has it, the best first
FASTER: dict[str, tuple[PrecisionName, ...]] = {"cuda": ("bfloat16", "float16"), "cpu": ("bfloat16",)}


@dataclass(frozen=True)
class Precision:
    """The number format of forward passes. Weights and the loss stay float32.

    Attributes:
        name: the number format.
        device_type: cpu, cuda or mps.
    """

    name: PrecisionName
    device_type: str

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Run operations in this format if that is safe for them (https://docs.pytorch.org/docs/stable/amp.html)."""
        dtype = DTYPES[self.name]
        with self.products(), torch.autocast(self.device_type, dtype, enabled=dtype != torch.float32):
            yield

    @contextmanager
    def products(self) -> Iterator[None]:
        """Multiply float32 values in TF32 if this is its name, and in float32 otherwise: also in backward passes.

        On GPUs of NVIDIA, torch's own choice is TF32 for convolutions and float32 for matrix products
        (https://docs.pytorch.org/docs/stable/notes/cuda.html#tf32-on-ampere). Other devices have no TF32.
        """
        settings: list[Any] = []
        if self.device_type == "cuda" and not torch.version.hip:
            # torch.compile asks cudnn for that of convolutions, and cudnn.conv may be set apart from it
            convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
            settings += [torch.backends.cuda.matmul, torch.backends.cudnn, convolutions]
        before = [setting.fp32_precision for setting in settings]
        try:
            for setting in settings:
                setting.fp32_precision = "tf32" if self.name == "tf32" else "ieee"
            yield
        finally:
            for setting, value in zip(settings, before, strict=True):
                setting.fp32_precision = value

    def grad_scaler(self) -> torch.amp.GradScaler:
        """Scale the loss for float16, whose gradients would underflow. It does nothing for other formats."""
        return torch.amp.GradScaler(self.device_type, enabled=self.name == "float16")


class Hardware(NamedTuple):
    """What a device says of a number format.

    Attributes:
        has: whether it multiplies the format itself; otherwise the format is emulated, or there is none.
        words: what it has or lacks.
    """

    has: bool
    words: str


def choose_precision(name: PrecisionChoice, device: torch.device) -> tuple[Precision, str]:
    """The precision that ``precision=name`` asks for, and the reason in words.

    ``auto`` chooses bfloat16 if the hardware multiplies it faster than float32, float16 on older GPUs, and float32
    otherwise: without support in hardware, bfloat16 is emulated and many times slower. A named precision is obeyed.

    Raises:
        UserError: if there is no such precision, or it is TF32, which is not emulated, and the device lacks it.
    """
    if name not in ("auto", *DTYPES):
        raise UserError(f"precision={name}: expected auto, {', '.join(DTYPES)}{nearest(name, DTYPES)}")
    if name == "auto":
        return _fastest(device)
    if name == "tf32" and not (hardware := hardware_for(name, device)).has:
        raise UserError(f"precision=tf32: {hardware.words}; precision=float32 computes on every device")
    return Precision(name, device.type), "as configured"


def precision_of_training(name: PrecisionName, device: torch.device) -> tuple[Precision, str | None]:
    """The precision for a network that was trained in ``name``: the same, or float32 where it would be emulated.

    Returns:
        The precision; and why it is not that of the training, None if it is.
    """
    hardware = hardware_for(name, device)
    return (Precision(name, device.type), None) if hardware.has else (Precision("float32", device.type), hardware.words)


def hardware_for(name: PrecisionName, device: torch.device) -> Hardware:
    """Ask a device whether it multiplies a number format, and not only emulates it."""
    if name == "float32":
        return Hardware(has=True, words="every device has float32")
    if device.type == "cuda":
        # AMD's capabilities count otherwise: torch takes bfloat16 for granted there, and TF32 is NVIDIA's
        has = not (name == "tf32" and torch.version.hip)
        has = has and torch.cuda.get_device_capability(device) >= CAPABILITIES[name]
        return Hardware(has, f"this GPU has {'' if has else 'no '}{name} tensor cores")
    if device.type == "cpu" and name in INSTRUCTIONS:
        features = torch.cpu.get_capabilities()
        found = [key for key in INSTRUCTIONS[name] if features.get(key)]
        return Hardware(bool(found), f"this CPU has {found[0] if found else f'no AMX or AVX-512 {name}'}")
    if name == "tf32":
        return Hardware(has=False, words=f"{device.type} has no TF32, which GPUs of NVIDIA have from capability 8.0 on")
    # Apple's GPUs have had float16 from the beginning, and bfloat16 later; torch does not tell which have
    has = name == "float16"
    return Hardware(has, f"this GPU has {name}" if has else f"PyTorch does not tell whether this GPU has {name}")


def _fastest(device: torch.device) -> tuple[Precision, str]:
    """What ``auto`` chooses, and the reason."""
    reason = f"float32 on {device.type}"
    for name in FASTER.get(device.type, ()):
        has, reason = hardware_for(name, device)
        if has:
            return Precision(name, device.type), f"auto: {reason}"
    return Precision("float32", device.type), f"auto: {reason}"
