"""The training images of each epoch: their order and their random changes are functions of seed and epoch."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from maskcls.data.loaders import Batch, Loader


@dataclass(frozen=True)
class TrainingBatches:
    """The batches of each epoch.

    Attributes:
        loader: gathers the batches; draws the order of the images from ``order``.
        order: random generator of the order.
        changes: random generator of the augmentation, on the device.
        seed: seed of the training.
        paths: paths of the training images, for messages.
    """

    loader: Loader
    order: torch.Generator
    changes: torch.Generator
    seed: int
    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def images(self) -> int:
        """Images in an epoch."""
        return self.loader.images_per_epoch

    def begin(self, epoch: int) -> None:
        """Seed the augmentation for an epoch that begins."""
        self.changes.manual_seed(_epoch_seed(self.seed, epoch, 1))

    def remaining(self, epoch: int, start: int) -> Generator[Batch, None, None]:
        """The batches of an epoch, from number ``start`` on."""
        self._seed_order(epoch)
        return self.loader.batches(start)

    def files(self, epoch: int, batch: int) -> list[str]:
        """Paths of the images in a batch."""
        self._seed_order(epoch)
        start = batch * self.loader.batch_size
        return [self.paths[i] for i in self.loader.order()[start : start + self.loader.batch_size].tolist()]

    def _seed_order(self, epoch: int) -> None:
        self.order.manual_seed(_epoch_seed(self.seed, epoch, 0))


def _epoch_seed(seed: int, epoch: int, purpose: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, purpose]).generate_state(1)[0])
