"""Running a network on batches of images."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from maskcls.models import build_on_meta
from maskcls.models.checkpoint import Checkpoint
from maskcls.models.normalize import Normalize
from maskcls.models.precision import Precision


class Network(Protocol):
    """What predicts: anything from images to logits. A back end implements this and nothing else."""

    @property
    def device(self) -> torch.device:
        """Where the images are expected."""
        ...

    def logits(self, images: Tensor) -> Tensor:
        """Map images, uint8 [batch, 3, size, size], to logits, float32 [batch, classes], on the same device."""
        ...


@dataclass(frozen=True)
class TorchNetwork:
    """A network that torch runs.

    Attributes:
        model: from normalised images to logits.
        normalize: from uint8 images to the model's input.
        precision: number format of the forward pass.
        device: where the model is.
    """

    model: nn.Module
    normalize: Normalize
    precision: Precision
    device: torch.device

    def logits(self, images: Tensor) -> Tensor:
        """As `Network.logits`. The model must be in evaluation mode."""
        inputs = self.normalize(images)
        with self.precision.autocast():
            logits: Tensor = self.model(inputs)
        return logits.float()


@torch.inference_mode()
def predict_logits(network: Network, batches: Iterable[Tensor]) -> Tensor:
    """Run a network over batches.

    Args:
        network: the network.
        batches: uint8 [batch, 3, size, size] each, on the network's device.

    Returns:
        Logits, float32 [images, classes], on the CPU.
    """
    return torch.cat([network.logits(images) for images in batches]).cpu()


def restore_network(checkpoint: Checkpoint, precision: Precision, device: torch.device) -> TorchNetwork:
    """Build a checkpoint's network on a device, in evaluation mode, with the weights that validation measured."""
    document = checkpoint.document
    model = build_on_meta(document.model, len(document.classes), document.input_size)
    model.load_state_dict(checkpoint.evaluated_weights, assign=True)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TorchNetwork(model.eval(), Normalize(document.normalization).to(device), precision, device)
