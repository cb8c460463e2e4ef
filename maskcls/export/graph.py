"""The network of a checkpoint as other programs run it: with its pre-processing and its calibration."""

import copy

import torch
from torch import Tensor, nn

from maskcls.models.torch_network import TorchNetwork


class Exported(nn.Module):
    """A network with what stands before and after it.

    Args:
        network: a restored network on the CPU, in float32.
    """

    def __init__(self, network: TorchNetwork) -> None:
        super().__init__()
        self.normalize = network.forward.normalize
        # channels last in memory, as the original is, would be taken for parts of larger tensors
        self.network = copy.deepcopy(network.forward.model).to(memory_format=torch.contiguous_format)
        self.temperature = network.document.temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map RGB images, uint8 [batch, size, size, 3], to probabilities and logits, float32 [batch, classes] each.

        The probabilities are calibrated, the logits are not.
        """
        logits = self.network(self.normalize(images.permute(0, 3, 1, 2)))
        return torch.softmax(logits / self.temperature, dim=1), logits


def example_images(size: int) -> Tensor:
    """Images to trace a network with: two of them, since a batch of one may be taken for a constant."""
    return torch.zeros((2, size, size, 3), dtype=torch.uint8)
