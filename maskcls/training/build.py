"""From a configuration and data to the state of a training."""

import logging
import os
import shutil
from collections.abc import Callable

import torch
from torch import Tensor, nn

from maskcls.config import TrainConfig
from maskcls.data.augment import build_augment
from maskcls.models.architecture import build_model
from maskcls.models.normalize import Normalize
from maskcls.models.precision import Precision
from maskcls.training.convolution import use_matrix_products
from maskcls.training.optim import build_optimizer, build_schedule
from maskcls.training.state import TrainingState, average_weights

log = logging.getLogger(__name__)

# compiling for CUDA takes a minute or two and should save some milliseconds a step; not measured
STEPS_TO_COMPILE_FOR = 30_000


def build_state(
    config: TrainConfig,
    classes: int,
    normalize: Normalize,
    precision: Precision,
    generator: torch.Generator,
    steps_per_epoch: int,
) -> TrainingState:
    """Build a network, with new weights from torch's global generator, and everything that trains it.

    Args:
        config: the configuration.
        classes: number of classes.
        normalize: from uint8 images to the network's input, on the device.
        precision: number format of the forward pass.
        generator: draws the augmentation, on the device.
        steps_per_epoch: optimizer steps in an epoch, for the schedule.

    Raises:
        UserError: if pretrained weights are asked for and cannot be had.
    """
    device = normalize.mean.device
    model = build_model(config.model, classes, config.data.input_size, pretrained=True)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu" and precision.name == "bfloat16":
        use_matrix_products(model)
    augment = build_augment(config.augment, generator)

    def augment_and_normalize(images: Tensor) -> Tensor:
        normalized: Tensor = normalize(images if augment is None else augment(images))
        return normalized

    optimizer = build_optimizer(config.optim, model)
    if precision.name == "float16":
        optimizer._opt_called = True  # type: ignore[attr-defined]  # torch warns if the scaler skips the first step
    return TrainingState(
        model=model,
        forward=_compiled(model, device) if compiles(config, device, steps_per_epoch) else model,
        optimizer=optimizer,
        schedule=build_schedule(config.schedule, optimizer, config.epochs, steps_per_epoch),
        transform=augment_and_normalize,
        loss_function=nn.CrossEntropyLoss(label_smoothing=config.label_smoothing),
        precision=precision,
        scaler=precision.grad_scaler(),
        is_sound=torch.ones((), dtype=torch.bool, device=device),
        clip_norm=config.optim.clip_norm,
        average=average_weights(model, config.ema_decay),
        generator=generator,
    )


def compiles(config: TrainConfig, device: torch.device, steps_per_epoch: int) -> bool:
    """Whether the model is compiled. ``auto`` compiles if the training is long enough to pay for it.

    On the CPU it never paid: see docs/benchmarks.md.
    """
    if config.compile == "auto":
        is_long = config.epochs * steps_per_epoch >= STEPS_TO_COMPILE_FOR
        return device.type == "cuda" and is_long and _can_compile()
    return config.compile


def _can_compile() -> bool:
    """Whether everything that compiling for CUDA needs is there: Triton, for this GPU, and a C compiler."""
    from torch.utils._triton import has_triton

    return has_triton() and any(map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang")))


def _compiled(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    torch.compiler.reset()  # models of earlier jobs in a sweep count towards a limit
    log.info("the model is compiled at its first batch, which takes a minute or so")
    # max-autotune replays forward and backward as CUDA graphs
    compiled: Callable[[Tensor], Tensor] = torch.compile(
        model, dynamic=False, mode="max-autotune" if device.type == "cuda" else None
    )
    return compiled
