"""Batches: gathered from the cache as uint8, moved to the device, and normalised there."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from maskcls.data.statistics import Normalization

Batch = tuple[Tensor, Tensor]


class CachedImages(Dataset[Batch]):
    """Images of one split, read a batch at a time.

    Args:
        images: uint8 [images, height, width, 3], usually memory-mapped.
        labels: class indices, as many.
    """

    def __init__(self, images: np.ndarray, labels: Sequence[int]) -> None:
        self.images = images
        self.labels = torch.tensor(labels, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, positions: list[int]) -> Batch:
        """Return uint8 [batch, height, width, 3] and int64 [batch]; torch's loaders call this once a batch."""
        return torch.from_numpy(self.images[positions]), self.labels[positions]


class DeviceLoader:
    """Iterates over a torch DataLoader and moves each batch to the device.

    Args:
        loader: yields batches of `CachedImages`.
        device: where they go.

    Yields (from iteration):
        uint8 [batch, 3, height, width] in channels_last memory format, and int64 [batch].
    """

    def __init__(self, loader: DataLoader[Batch], device: torch.device) -> None:
        self.loader = loader
        self.device = device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        for images, labels in self.loader:
            if self.device.type == "cuda":  # only from pinned memory do copies overlap with compute
                images, labels = images.pin_memory(), labels.pin_memory()
            # channels last in memory: what convolutions are fastest on, and what the cache holds already
            images = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
            yield images, labels.to(self.device, non_blocking=True)


def training_loader(
    dataset: CachedImages, batch_size: int, generator: torch.Generator, workers: int
) -> DataLoader[Batch]:
    """Batches in an order that ``generator`` shuffles; the last one may be smaller."""
    return _loader(dataset, RandomSampler(dataset, generator=generator), batch_size, workers)


def evaluation_loader(dataset: CachedImages, batch_size: int, workers: int) -> DataLoader[Batch]:
    """Batches in the data set's order."""
    return _loader(dataset, SequentialSampler(dataset), batch_size, workers)


def _loader(
    dataset: CachedImages, sampler: RandomSampler | SequentialSampler, batch_size: int, workers: int
) -> DataLoader[Batch]:
    return DataLoader(
        dataset,
        batch_sampler=BatchSampler(sampler, batch_size, drop_last=False),
        collate_fn=_as_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        # of its own: it would draw from the global one, at each epoch without workers and once with them
        generator=torch.Generator(),
    )


def _as_is(batch: Any) -> Any:
    # CachedImages returns whole batches
    return batch


class Normalize(torch.nn.Module):
    """From uint8 to float32 around zero: scaled to 0..1, less the mean, divided by the standard deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self, normalization: Normalization) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(normalization.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(normalization.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 [batch, 3, height, width], or float32 in 0..1, to float32 of the same shape and memory format."""
        values = images if images.is_floating_point() else images.float().div_(255)
        return (values - self.mean) / self.std
