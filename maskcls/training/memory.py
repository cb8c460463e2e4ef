"""The memory that a training takes, and the batch size that it can have."""

import dataclasses
import logging

import torch
from torch import nn

from maskcls.config import SGDConfig, TrainConfig, as_dictionary
from maskcls.errors import MachineError, UserError
from maskcls.models.memory import Demand, advice, build_on_meta, gigabytes

log = logging.getLogger(__name__)

# auto's largest batch, and the least steps of an epoch that it leaves: beyond these an epoch teaches a network less
LARGEST_BATCH, STEPS_PER_EPOCH = 256, 32
# what VGG-16 takes for each pixel of a batch: where that is less than half of what is free, nothing is looked at closer
BYTES_PER_PIXEL = 3_000


def training_demand(config: TrainConfig, classes: int) -> Demand:
    """What optimizer steps take: weights, gradients, the optimizer's state, an average, and a batch's activations."""
    size, optim = config.data.input_size, config.optim
    moments = int(optim.momentum > 0) if isinstance(optim, SGDConfig) else 2
    copies = moments + (config.ema_decay is not None)

    def train(images: int) -> None:
        model = build_on_meta(as_dictionary(config.model), classes, size)
        kept = [torch.empty_like(weight) for weight in model.parameters() for _ in range(copies)]
        logits = model(torch.empty(images, 3, size, size))
        nn.functional.cross_entropy(logits, torch.empty(images, dtype=torch.int64)).backward()
        del kept

    return Demand.of(train)


def with_batch_size(config: TrainConfig, images: int, classes: int, free: float) -> TrainConfig:
    """The configuration with a number for ``data.batch_size``; says so where one that is given will not fit.

    Args:
        images: in an epoch.
        free: bytes, on the device.

    Raises:
        MachineError: where not even one image fits.
        UserError: where the network cannot be trained on batches of the size that is given.
    """
    size = config.data.batch_size
    if size != "auto":
        if _is_too_small(config, images % size or size):
            raise UserError(
                f"data.batch_size={size} leaves one of {images} training images for the last batch, which resnet18 "
                f"cannot train on at data.input_size=32; choose another"
            )
        largest = min(size, images)
        rough = BYTES_PER_PIXEL * largest * config.data.input_size**2
        if rough > free / 2 and (demand := training_demand(config, classes)).total(largest) > free:
            log.warning("data.batch_size=%d may not fit: %s", size, advice("data.batch_size", size, free, demand))
        return config
    demand = training_demand(config, classes)
    fits = demand.largest_batch(free)
    if not fits:
        raise MachineError(
            f"data.batch_size=auto: a single image takes {gigabytes(demand.total(1))}, and {gigabytes(free)} are free; "
            "a smaller data.input_size takes less"
        )
    chosen = min(fits, LARGEST_BATCH, 2 ** (max(1, images // STEPS_PER_EPOCH).bit_length() - 1))
    near = (chosen, *range(chosen, 1, -1), *range(chosen + 1, images + 1))
    chosen = next((size for size in near if not _is_too_small(config, images % size or size)), chosen)
    log.info(
        "data.batch_size=auto: %d, which takes some %s of the %s that are free; optim.lr stays %g",
        chosen,
        gigabytes(demand.total(chosen)),
        gigabytes(free),
        config.optim.lr,
    )
    return dataclasses.replace(config, data=dataclasses.replace(config.data, batch_size=chosen))


def _is_too_small(config: TrainConfig, images: int) -> bool:
    """Batch normalization needs two values a channel: ResNet-18 has one for an image of 32 pixels."""
    return images == 1 and config.model.name == "resnet18" and config.data.input_size == 32
