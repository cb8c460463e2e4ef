"""Saving and restoring every random generator that a training, or code that a user adds to one, may draw from."""

import logging
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from maskcls.errors import UserError
from maskcls.models.document import RandomState

log = logging.getLogger(__name__)


def seed_everything(seed: int) -> None:
    """Seed the global generators. Python's and NumPy's serve only what a user may add."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def determinism(*, on: bool) -> Iterator[None]:
    """Within the block, let torch use only algorithms that give the same bits each time, if ``on``.

    Raises:
        UserError: an operation has none on this device.
    """
    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch reads it at the first matrix product
    torch.use_deterministic_algorithms(on)
    try:
        yield
    except RuntimeError as error:
        operation, found, _ = str(error).partition(" does not have a deterministic implementation")
        if not found:
            raise
        raise UserError(
            f"deterministic=true: {operation} gives other bits each time on this device; choose another model, "
            "device=cpu or deterministic=false"
        ) from None
    finally:
        torch.use_deterministic_algorithms(mode=False)


def capture_random(device: torch.device, augmentation: torch.Generator | None) -> tuple[RandomState, dict[str, Tensor]]:
    """The states of all generators: numbers, and tensors by name.

    Args:
        device: where the training computes. Generators of other GPUs are not looked at, which would start CUDA.
        augmentation: the generator of the augmentation.
    """
    version, python, gauss = random.getstate()
    legacy = np.random.get_state(legacy=False)
    numbers = RandomState(
        python=(version, gauss), numpy=(legacy["state"]["pos"], legacy["has_gauss"], float(legacy["gauss"]))
    )
    tensors = {
        "python": torch.tensor(python, dtype=torch.int64),
        "numpy": torch.from_numpy(legacy["state"]["key"].astype(np.int64)),
        "cpu": torch.get_rng_state(),
    }
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        tensors["mps"] = torch.mps.get_rng_state()
    return numbers, tensors if augmentation is None else {**tensors, "augmentation": augmentation.get_state()}


def restore_random(
    numbers: RandomState, tensors: Mapping[str, Tensor], device: torch.device, augmentation: torch.Generator | None
) -> None:
    """Set every generator to a captured state; on another device than before, those of the device draw anew.

    Raises:
        Exception: of any kind, if the states make no sense.
    """
    version, gauss = numbers.python
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    position, has_gauss, number = numbers.numpy
    key = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(
        {"bit_generator": "MT19937", "state": {"key": key, "pos": position}, "has_gauss": has_gauss, "gauss": number}
    )
    torch.set_rng_state(tensors["cpu"])
    if device.type == "cuda" and "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"], device)
    elif device.type == "mps" and "mps" in tensors:
        torch.mps.set_rng_state(tensors["mps"])
    if device.type not in tensors:
        log.warning("resumed on another device: what is drawn on it, such as dropout, draws other random numbers")
    if augmentation is not None and "augmentation" in tensors:
        state = tensors["augmentation"]
        if augmentation.get_state().shape == state.shape:  # a generator of another device has another shape
            augmentation.set_state(state)
        else:
            log.warning("resumed on another device: the augmentation of this epoch draws other random numbers")
