"""From a configuration and data to the state of a training."""

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
        forward=model,
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
