"""Operations of torch that a device may lack, such as some of Apple's: the CPU does them then."""

import logging
from collections.abc import Callable
from functools import cache

from torch import Tensor

from maskcls.errors import is_out_of_memory

log = logging.getLogger(__name__)

# devices that have every operation: an error of theirs is an error
COMPLETE = ("cpu", "cuda")


def with_fallback(operation: Callable[..., Tensor], *tensors: Tensor, **settings: object) -> Tensor:
    """Run an operation on the device of its tensors, or on the CPU if that device refuses. A line says so once.

    Args:
        operation: a function of torch.
        tensors: what it takes, on one device.
        settings: its keyword arguments. A device may have the operation, but not with these.

    Returns:
        What the operation gives, on the device of the tensors.
    """
    device = tensors[0].device
    try:
        return operation(*tensors, **settings)
    except RuntimeError as error:  # NotImplementedError is one, too
        if device.type in COMPLETE or is_out_of_memory(error):
            raise
        _report(operation.__name__, device.type, str(error))
    return operation(*(tensor.cpu() for tensor in tensors), **settings).to(device)


@cache
def _report(operation: str, device: str, error: str) -> None:
    log.warning("%s does not do %s, so the CPU does it, which is slower: %s", device, operation, error.splitlines()[0])
