"""Batches: gathered from the images of a split as uint8, and moved to the device."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskcls.cores import ahead
from maskcls.data.streaming import Images

# images and labels
Batch = tuple[Tensor, Tensor]

# batches that are gathered ahead of the one in use
AHEAD = 2


@dataclass(frozen=True)
class LabelledImages:
    """The images of a split, and their labels.

    Attributes:
        images: uint8 [images, height, width, 3].
        labels: the class index of each image.
    """

    images: Images
    labels: Sequence[int]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Sampling:
    """How the images of an epoch are drawn at random, with replacement.

    Attributes:
        weights: how likely each image is to be drawn; they need not sum to 1.
        draws: images in an epoch.
    """

    weights: Sequence[float]
    draws: int


class Loader:
    """Yields the batches of a split, epoch by epoch.

    A batch is uint8 [batch, 3, height, width] in channels_last memory format, and labels, int64 [batch].

    Args:
        split: the images and labels.
        batch_size: images in a batch; the last batch may be smaller.
        device: device of the batches.
        shuffle: generator, on the CPU, that draws the order of each epoch; None to keep the order of the split.
        resident: copy the whole split to the device now, and gather the batches there.
        sampling: how the images of an epoch are drawn; None to take each image once. Not used without ``shuffle``.
    """

    def __init__(
        self,
        split: LabelledImages,
        batch_size: int,
        device: torch.device,
        *,
        shuffle: torch.Generator | None = None,
        resident: bool = False,
        sampling: Sampling | None = None,
    ) -> None:
        self.images = split.images
        self.labels = torch.tensor(split.labels, dtype=torch.int64)
        self.batch_size = batch_size
        self.device = device
        self.shuffle = shuffle
        self.weights = None if sampling is None else torch.tensor(sampling.weights, dtype=torch.float64)
        self.images_per_epoch = len(split) if sampling is None or shuffle is None else sampling.draws
        self.resident: Batch | None = None
        if resident:
            copied = torch.empty((len(split), *split.images[:1].shape[1:]), dtype=torch.uint8, device=device)
            for start in range(0, len(split), 256):  # in parts, since the host's memory may not hold all images
                copied[start : start + 256] = torch.from_numpy(np.array(split.images[start : start + 256]))
            self.resident = copied, self.labels.to(device)

    def __len__(self) -> int:
        return -(-self.images_per_epoch // self.batch_size)

    def __iter__(self) -> Generator[Batch, None, None]:
        return self.batches()

    def batches(self, start: int = 0) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch from the one at position ``start`` on; those before it are not gathered."""
        order = self.order()[start * self.batch_size :]
        if not len(order):  # Tensor.split would make one empty batch of it
            return
        batches = self._gathered(order) if self.resident is None else self._on_device(order, *self.resident)
        for images, labels in batches:
            # channels last in memory, as the cache holds them: convolutions are fastest on this format
            yield images.permute(0, 3, 1, 2), labels

    def order(self) -> Tensor:
        """Return the positions of the next epoch's images, int64 [images_per_epoch]; advances ``shuffle``."""
        if self.shuffle is None:
            return torch.arange(self.images_per_epoch)
        if self.weights is None:
            return torch.randperm(self.images_per_epoch, generator=self.shuffle)
        return torch.multinomial(self.weights, self.images_per_epoch, replacement=True, generator=self.shuffle)

    def _on_device(self, order: Tensor, images: Tensor, labels: Tensor) -> Iterator[Batch]:
        for chosen in order.to(self.device).split(self.batch_size):
            yield images[chosen], labels[chosen]

    def _gathered(self, order: Tensor) -> Iterator[Batch]:
        yield from ahead(self._gather, order.split(self.batch_size), AHEAD, name="loader")

    def _gather(self, chosen: Tensor) -> Batch:
        images, labels = torch.from_numpy(self.images[chosen.numpy()]), self.labels[chosen]
        is_cuda = self.device.type == "cuda"
        if is_cuda:  # the host need not wait for copies from pinned memory
            images, labels = images.pin_memory(), labels.pin_memory()
        # on MPS the source of such a copy may be freed before it is read
        return images.to(self.device, non_blocking=is_cuda), labels.to(self.device, non_blocking=is_cuda)
