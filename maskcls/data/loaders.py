"""Batches: gathered from a split's images as uint8, moved to the device, and normalised there."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskcls.data.statistics import Normalization
from maskcls.data.streaming import StreamedImages

Batch = tuple[Tensor, Tensor]

# batches made ready while one is being trained on
AHEAD = 2


@dataclass(frozen=True)
class LabelledImages:
    """Images of one split.

    Attributes:
        images: uint8 [images, height, width, 3], usually memory-mapped, or what reads like it.
        labels: class indices, as many.
    """

    images: np.ndarray | StreamedImages
    labels: Sequence[int]

    def __len__(self) -> int:
        return len(self.images)


class Loader:
    """A split's batches on the device, epoch by epoch.

    Args:
        split: what to iterate over.
        batch_size: images in a batch; the last one may be smaller.
        device: where the batches go.
        shuffle: draws the order of each epoch, on the CPU; None for the split's own order.
        resident: copy the whole split to the device now, and gather each batch there.
        weights: how often each image is to be drawn; an epoch is then as many draws, with replacement. None for each
            image once.

    Batches are uint8 [batch, 3, height, width] in channels_last memory format, and int64 [batch].
    """

    def __init__(
        self,
        split: LabelledImages,
        batch_size: int,
        device: torch.device,
        shuffle: torch.Generator | None = None,
        resident: bool = False,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.images = split.images
        self.labels = torch.tensor(split.labels, dtype=torch.int64)
        self.batch_size = batch_size
        self.device = device
        self.shuffle = shuffle
        self.weights = None if weights is None else torch.tensor(weights, dtype=torch.float64)
        self.resident: Batch | None = None
        if resident:
            copied = torch.empty((len(split), *split.images[:1].shape[1:]), dtype=torch.uint8, device=device)
            for start in range(0, len(split), 256):  # a part at a time: the host's memory need not hold them all
                copied[start : start + 256] = torch.from_numpy(np.array(split.images[start : start + 256]))
            self.resident = copied, self.labels.to(device)

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, start: int = 0) -> Generator[Batch, None, None]:
        """An epoch's batches, from the one of number ``start`` on."""
        order = self.order()[start * self.batch_size :]
        if not len(order):  # which would be split into one batch without images
            return
        for images, labels in self._ahead(order) if self.resident is None else self._on_device(order, *self.resident):
            # channels last in memory: what convolutions are fastest on, and what the cache holds already
            yield images.permute(0, 3, 1, 2), labels

    def order(self) -> Tensor:
        """Positions of an epoch's images, int64 [images]; ``shuffle`` is drawn from."""
        count = len(self.labels)
        if self.shuffle is None:
            return torch.arange(count)
        if self.weights is None:
            return torch.randperm(count, generator=self.shuffle)
        return torch.multinomial(self.weights, count, replacement=True, generator=self.shuffle)

    def _on_device(self, order: Tensor, images: Tensor, labels: Tensor) -> Iterator[Batch]:
        for chosen in order.to(self.device).split(self.batch_size):
            yield images[chosen], labels[chosen]

    def _ahead(self, order: Tensor) -> Iterator[Batch]:
        """Gather in a thread of its own, while the batches before are computed on."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="loader")
        try:
            pending: deque[Future[Batch]] = deque()
            for chosen in order.split(self.batch_size):
                pending.append(thread.submit(self._gather, chosen))
                if len(pending) > AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:  # of an epoch that is broken off, too: what is not gathered yet is not waited for
            thread.shutdown(cancel_futures=True)

    def _gather(self, chosen: Tensor) -> Batch:
        images, labels = torch.from_numpy(self.images[chosen.numpy()]), self.labels[chosen]
        is_cuda = self.device.type == "cuda"
        if is_cuda:  # copies from pinned memory are queued, and nobody waits for them
            images, labels = images.pin_memory(), labels.pin_memory()
        # MPS may read the source of a copy that nobody waits for after it is freed
        return images.to(self.device, non_blocking=is_cuda), labels.to(self.device, non_blocking=is_cuda)


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
