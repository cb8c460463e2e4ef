"""Compiling the model with `torch.compile`, for as long as a training lasts."""

import gc
import logging
import os
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from maskcls.config import TrainConfig
from maskcls.errors import UserError
from maskcls.training.batches import TrainingBatches
from maskcls.training.randomness import capture_random, restore_random
from maskcls.training.state import TrainingState

log = logging.getLogger(__name__)

# compiling for CUDA takes a minute or two and should save some milliseconds a step; not measured
STEPS_TO_COMPILE_FOR = 30_000
# the first pass compiles; on CUDA, the second one records the graphs that all others replay
PASSES = 2


@contextmanager
def compiled(config: TrainConfig, state: TrainingState, batches: TrainingBatches) -> Iterator[None]:
    """Compile the model for the block, if the configuration says so. At its end, what this holds is released.

    The model is compiled here, before the first step, because a signal waits for a step to end. Only full batches go
    through the compiled form: another size would be compiled, too, for one batch an epoch.

    Raises:
        UserError: as `compiles`.
    """
    if not compiles(config, state.device, len(batches)):
        yield
        return
    log.info("the model is compiled now, which takes a minute or so")
    images, size = min(batches.loader.batch_size, batches.images), config.data.input_size
    try:
        state.forward = _for_batches_of(images, state.model, state.device)
        warm_up(state, torch.zeros(images, size, size, 3, dtype=torch.uint8, device=state.device).permute(0, 3, 1, 2))
        yield
    finally:
        state.forward = state.model
        torch.compiler.reset()
        gc.collect()  # compiled code refers to itself in circles
        if state.device.type == "cuda":
            torch.cuda.empty_cache()  # the memory of graphs is of use to nobody else until then


def compiles(config: TrainConfig, device: torch.device, steps_per_epoch: int) -> bool:
    """Whether the model is compiled. ``auto`` compiles if the training is long enough to pay for it, and it can.

    On the CPU it never paid: see docs/benchmarks.md.

    Raises:
        UserError: if ``compile=true`` asks for what cannot be done.
    """
    is_long = config.epochs * steps_per_epoch >= STEPS_TO_COMPILE_FOR
    is_wanted = is_long and device.type == "cuda" if config.compile == "auto" else config.compile
    if not is_wanted or device.type != "cuda" or not (missing := _missing_for_cuda()):
        return is_wanted
    if config.compile == "auto":
        log.info("compile=auto: the model is not compiled, since this machine lacks %s", " and ".join(missing))
        return False
    raise UserError(f"compile=true: this machine lacks {' and '.join(missing)}; compile=false does without")


def _missing_for_cuda() -> list[str]:
    """What compiling for CUDA needs and this machine lacks. Triton compiles its launchers, as extensions of Python."""
    from torch.utils._triton import has_triton

    compilers = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")  # Debian's own has no headers
    found = {
        "Triton for this GPU": has_triton(),
        "a C compiler": any(map(shutil.which, compilers)),
        "Python.h, the headers of Python": Path(sysconfig.get_path("include", scheme), "Python.h").exists(),
    }
    return [name for name, is_there in found.items() if not is_there]


def _for_batches_of(images: int, model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The compiled model for batches of so many images, and the model itself for others."""
    # max-autotune replays forward and backward as CUDA graphs
    compiled: Callable[[Tensor], Tensor] = torch.compile(
        model, dynamic=False, mode="max-autotune" if device.type == "cuda" else None
    )

    def forward(inputs: Tensor) -> Tensor:
        logits: Tensor = compiled(inputs) if len(inputs) == images else model(inputs)
        return logits

    return forward


def warm_up(state: TrainingState, images: Tensor) -> None:
    """Run the forward and the backward pass on a batch, so that both are compiled. The training is as before.

    Weights, gradients and the optimizer are not touched; the buffers of batch normalization and all random generators
    are set back.

    Args:
        state: what is trained.
        images: uint8 [batch, 3, height, width], on the device, in the memory format of the batches to come.
    """
    # by default the backward pass is compiled when it first runs, which on CUDA is in a thread of torch's own: the main
    # thread waits for it, and with it every signal
    from torch._functorch import config as functorch

    state.model.train()
    buffers = list(state.model.buffers())
    before, generators = [buffer.clone() for buffer in buffers], capture_random(state.device, state.generator)
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    with functorch.patch(force_non_lazy_backward_lowering=True):
        for _ in range(PASSES):
            inputs = state.transform(images)
            with state.precision.autocast():
                loss = state.loss_function(state.forward(inputs).float(), labels)
            torch.autograd.grad(loss, list(state.model.parameters()))
    for buffer, value in zip(buffers, before, strict=True):
        buffer.copy_(value)  # in place: graphs know its address
    restore_random(*generators, state.device, state.generator)
