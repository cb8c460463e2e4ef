"""What predicts: the interface of a back end, and a trained network that is ready to run."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from maskcls.config import AnyDataConfig
from maskcls.errors import MachineError, UserError
from maskcls.models.document import Document


class Network(Protocol):
    """Anything from images to logits. A back end implements this and nothing else."""

    @property
    def device(self) -> str:
        """Where it computes: cpu, cuda:N or mps."""
        ...

    @property
    def precision(self) -> str:
        """Number format of the forward pass."""
        ...

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Map RGB images, uint8 [batch, size, size, 3], to logits, float32 [batch, classes]."""
        ...

    def out_of_memory(self, key: str, size: int) -> MachineError:
        """The error for a batch that does not fit in memory.

        Args:
            key: what sets the batch size.
            size: the batch size.
        """
        ...


def predict_logits(network: Network, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Run a network over batches, as `Network.logits` takes them; at least one.

    Returns:
        Logits, float32 [images, classes].

    Raises:
        MachineError: if they are no numbers, as when float16 overflows.
    """
    logits = np.concatenate([network.logits(images) for images in batches])
    if not np.isfinite(logits).all():
        raise MachineError(f"the network's answers are not finite in {network.precision}; precision=float32 may help")
    return logits


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network that is ready to run, and what its file says of it.

    Attributes:
        path: the file.
        document: the document in the file.
        network: the network.
        about: where and how it computes, in words.
    """

    path: Path
    document: Document
    network: Network
    about: str

    def trained_with(self) -> AnyDataConfig:
        """As `Document.trained_with`; an error names the file."""
        try:
            return self.document.trained_with()
        except UserError as error:
            raise UserError(f"ckpt={self.path}: {error}") from None
