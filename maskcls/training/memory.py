"""The memory that a training takes, and the batch size that fits."""

import dataclasses
import logging
from contextlib import AbstractContextManager

import torch
from torch import nn

from maskcls.config import TrainConfig
from maskcls.errors import MachineError, UserError, explained
from maskcls.models.architecture import build_model, build_on_meta
from maskcls.models.memory import Demand, advice, as_on_cpu, gigabytes, inference_demand, out_of_memory
from maskcls.models.precision import Precision
from maskcls.training.optim import moments

log = logging.getLogger(__name__)

# limits of data.batch_size=auto: the largest batch, and the fewest steps in an epoch. Beyond them an epoch teaches less
LARGEST_BATCH, STEPS_PER_EPOCH = 256, 32
# bytes that VGG-16 with batch normalization, which takes most, takes for each pixel of a batch; if that is less than
# half of the free memory, any network fits
BYTES_PER_PIXEL = 5_100


def training_demand(config: TrainConfig, classes: int, precision: Precision) -> Demand:
    """The memory of an optimizer step: weights, gradients, optimizer state, average, and a batch's activations."""
    size, optim = config.data.input_size, config.optim
    copies = moments(optim) + (config.ema_decay is not None)

    def train(images: int) -> None:
        model = build_model(config.model, classes, size, pretrained=False)
        kept = [torch.empty_like(weight) for weight in model.parameters() for _ in range(copies)]
        with as_on_cpu(precision):
            logits = model(torch.empty(images, 3, size, size)).float()
        nn.functional.cross_entropy(logits, torch.empty(images, dtype=torch.int64)).backward()
        del kept

    return Demand.of(train)


def with_batch_size(config: TrainConfig, images: int, classes: int, precision: Precision, free: float) -> TrainConfig:
    """Return the configuration with a number for ``data.batch_size``; warn if the given number may not fit.

    Args:
        config: the configuration.
        images: number of training images in an epoch.
        classes: number of classes.
        precision: number format of the forward pass.
        free: free bytes on the device.

    Raises:
        MachineError: if not even one image fits.
        UserError: if the network cannot be trained on batches of the given size.
    """
    size = config.data.batch_size
    if size != "auto":
        if (images % size or size) == 1 and not _trains_on_one(config, classes):
            raise UserError(
                f"data.batch_size={size} leaves one of {images} training images for the last batch, which "
                f"{config.model.name} cannot train on at data.input_size={config.data.input_size}; choose another"
            )
        if size > images:
            log.warning(
                "data.batch_size=%d: there are %d training images, so each epoch is a single step", size, images
            )
        largest = min(size, images)
        rough = BYTES_PER_PIXEL * largest * config.data.input_size**2
        if rough > free / 2 and (demand := training_demand(config, classes, precision)).total(largest) > free:
            log.warning("data.batch_size=%d may not fit: %s", size, advice("data.batch_size", size, free, demand))
        return config
    demand = training_demand(config, classes, precision)
    fits = demand.largest_batch(free)
    if not fits:
        raise MachineError(
            f"data.batch_size=auto: a single image takes {gigabytes(demand.total(1))}, and {gigabytes(free)} are free; "
            "a smaller data.input_size takes less"
        )
    chosen = min(fits, LARGEST_BATCH, 2 ** (max(1, images // STEPS_PER_EPOCH).bit_length() - 1))
    if (images % chosen or chosen) == 1 and not _trains_on_one(config, classes):
        near = (*range(chosen, 1, -1), *range(chosen + 1, images + 1))
        chosen = next((size for size in near if (images % size or size) > 1), chosen)
    log.info(
        "data.batch_size=auto: %d, which takes some %s of the %s that are free; optim.lr stays %g",
        chosen,
        gigabytes(demand.total(chosen)),
        gigabytes(free),
        config.optim.lr,
    )
    return dataclasses.replace(config, data=dataclasses.replace(config.data, batch_size=chosen))


def _trains_on_one(config: TrainConfig, classes: int) -> bool:
    """Whether a network can train on a single image. Batch normalization needs two values in each channel."""
    size = config.data.input_size
    try:
        build_on_meta(config.model, classes, size)(torch.empty(1, 3, size, size, device="meta"))
    except ValueError:
        return False
    return True


def explained_training(
    config: TrainConfig, model: nn.Module, classes: int, precision: Precision, free: float
) -> AbstractContextManager[None]:
    """If training or validation runs out of memory in the block, say which batch size is likely to fit.

    Args:
        config: the configuration.
        model: the model that is trained; it is in evaluation mode during validation.
        classes: number of classes.
        precision: number format of the forward pass.
        free: bytes that were free before.

    Raises:
        MachineError: in place of the library's own error.
    """

    def explain() -> MachineError:
        if model.training:
            size, demand = int(config.data.batch_size), training_demand(config, classes, precision)
            return out_of_memory("data.batch_size", size, free, demand)
        demand = inference_demand(config.model, classes, config.data.input_size, precision)
        return out_of_memory("data.eval_batch_size", config.data.eval_batch_size, free, demand)

    return explained(explain)
