"""The first step of every model: from uint8 images to the normalised numbers that a network expects."""

import torch
from torch import Tensor

from maskcls.data.statistics import Normalization


class Normalize(torch.nn.Module):
    """Scales images to 0..1, subtracts the mean of each channel, and divides by its standard deviation."""

    # float32 [1, 3, 1, 1]
    mean: Tensor
    std: Tensor

    def __init__(self, normalization: Normalization) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(normalization.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(normalization.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 [batch, 3, height, width], or float32 in 0..1, to normalised float32 of the same memory format."""
        values = images if images.is_floating_point() else images.float().div_(255)
        return (values - self.mean) / self.std
