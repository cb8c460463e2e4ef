"""Saving and restoring every random generator that a training, or code that a user adds to one, may draw from."""

import logging
import random
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from maskcls.models.document import RandomState

log = logging.getLogger(__name__)


def seed_everything(seed: int) -> None:
    """Seed the global generators. Python's and NumPy's serve only what a user may add."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def capture_random(augmentation: torch.Generator | None) -> tuple[RandomState, dict[str, Tensor]]:
    """The states of all generators: numbers, and tensors by name.

    Args:
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
        **{f"cuda/{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())},
    }
    return numbers, tensors if augmentation is None else {**tensors, "augmentation": augmentation.get_state()}


def restore_random(numbers: RandomState, tensors: Mapping[str, Tensor], augmentation: torch.Generator | None) -> None:
    """Set every generator to a captured state. Generators of devices that are not there any more are left as they are.

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
    cuda = [state for name, state in tensors.items() if name.startswith("cuda/")]
    if len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([tensors[f"cuda/{i}"] for i in range(len(cuda))])
    else:
        log.warning("resumed with another number of GPUs: what is drawn on them, such as dropout, is drawn anew")
    if augmentation is not None and "augmentation" in tensors:
        state = tensors["augmentation"]
        if augmentation.get_state().shape == state.shape:  # a generator of another device has another shape
            augmentation.set_state(state)
        else:
            log.warning("resumed on another device: the augmentation of this epoch draws other random numbers")
