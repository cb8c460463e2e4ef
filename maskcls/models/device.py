"""The device that computes: what ``device=`` names, whether this process can use it, and making it the current one."""

import logging
import re
import warnings
from collections.abc import Sequence

import torch

from maskcls.config import nearest
from maskcls.errors import UserError

log = logging.getLogger(__name__)


def choose_device(name: str) -> torch.device:
    """The device that ``device=name`` asks for. A line says which GPUs ``auto`` passes over, and why.

    Raises:
        UserError: if this machine does not have it, or has it but cannot use it. The message says what else there is.
    """
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    others = ["mps"] if torch.backends.mps.is_available() else []
    if name == "auto":
        return torch.device(_first_usable(gpus) or next(iter(others), "cpu"))
    if not re.fullmatch(r"cpu|mps|cuda(:[0-9]+)?", name):
        hint = "; cuda is a GPU of NVIDIA or AMD, mps one of Apple" if name == "gpu" else nearest(name, ["cuda", "cpu"])
        raise UserError(f"device={name}: expected auto, cpu, cuda, cuda:N or mps{hint}")
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in (available := ["cpu", *gpus, *others]):
        raise UserError(
            f"device={name}: not on this machine, which has {', '.join(available)}; device=auto takes the best"
        )
    if wanted in gpus and (obstacle := obstacle_of(wanted)):
        raise UserError(f"device={name}: this GPU cannot be used: {obstacle}; device=cpu computes without it")
    return torch.device(wanted)


def use_device(device: torch.device) -> None:
    """Make a GPU the current one of this process. Some functions of torch use that one, whatever they get."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


def obstacle_of(gpu: str) -> str | None:
    """Why this process cannot compute on a GPU, ``cuda:N``; None if it can."""
    try:
        with warnings.catch_warnings(action="ignore"):  # torch would say it, too, in several lines
            torch.cuda.init()  # device_count counts GPUs whose driver is too old as well
        properties = torch.cuda.get_device_properties(gpu)
    except (RuntimeError, AssertionError, torch.cuda.DeferredCudaCallError) as error:
        first = next(iter(str(error).splitlines()), "")
        return f"CUDA does not start: {first or type(error).__name__}"
    built_for = torch.cuda.get_arch_list()
    if torch.version.hip:
        own = properties.gcnArchName.partition(":")[0]
        runs = not built_for or own in built_for
    else:
        own = f"compute capability {properties.major}.{properties.minor}"
        runs = runs_code_for(built_for, (properties.major, properties.minor))
    return None if runs else f"this PyTorch has no code for {own}, only for {', '.join(built_for)}"


def runs_code_for(built_for: Sequence[str], capability: tuple[int, int]) -> bool:
    """Whether a GPU of NVIDIA runs any of the code that torch was built with.

    Machine code (``sm_75``) runs on the same major version from its minor version on, and the intermediate code
    (``compute_75``) on everything newer. The suffix a binds code to one version, and f to one major version
    (https://docs.nvidia.com/cuda/cuda-compiler-driver-nvcc/#gpu-feature-list).

    Args:
        built_for: what `torch.cuda.get_arch_list` gives; if nothing is known, the GPU is trusted.
        capability: major and minor version of the GPU's compute capability.
    """
    return not built_for or any(_runs(code, capability) for code in built_for)


def _runs(code: str, capability: tuple[int, int]) -> bool:
    found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", code)
    if found is None:
        return False
    kind, suffix = found[1], found[4]
    version = (int(found[2]), int(found[3]))
    if suffix == "a":
        return capability == version
    return capability >= version and (capability[0] == version[0] or (kind == "compute" and not suffix))


def _first_usable(gpus: Sequence[str]) -> str | None:
    """The first GPU that can be used, if there is one. A line says why those before it cannot."""
    obstacles: dict[str, str] = {}
    chosen = None
    for gpu in gpus:
        obstacle = obstacle_of(gpu)
        if obstacle is None:
            chosen = gpu
            break
        obstacles[gpu] = obstacle
    if obstacles:
        reasons = "; ".join(dict.fromkeys(obstacles.values()))
        log.warning("device=auto passes over %s: %s", ", ".join(obstacles), reasons)
    return chosen
