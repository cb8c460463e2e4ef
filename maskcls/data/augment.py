"""Random changes of training images, a batch at a time, on the device."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from maskcls.config import AugmentConfig, FlipAugmentConfig, LightAugmentConfig

# luma of ITU-R BT.601, as torchvision's and PIL's greyscale
LUMA = (0.299, 0.587, 0.114)


class Flip:
    """A left-right flip of some images.

    Args:
        probability: of each image's flip.
        generator: draws them, on the device of the images.
    """

    def __init__(self, probability: float, generator: torch.Generator) -> None:
        self.probability = probability
        self.generator = generator

    def __call__(self, images: Tensor) -> Tensor:
        """Flip some of the images, [batch, 3, height, width] of any type, kept as is."""
        draws = torch.rand(len(images), generator=self.generator, device=self.generator.device)
        return torch.where((draws < self.probability).view(-1, 1, 1, 1), images.flip(3), images)


class LightAugment:
    """Flip, shift, rotation, zoom and colour of each image, drawn apart from the others'.

    Args:
        config: the ranges.
        generator: draws the changes, on the device of the images.
    """

    def __init__(self, config: LightAugmentConfig, generator: torch.Generator) -> None:
        self.config = config
        self.generator = generator

    def __call__(self, images: Tensor) -> Tensor:
        """Change images.

        Args:
            images: uint8 [batch, 3, height, width].

        Returns:
            float32 of the same shape, 0..1.
        """
        values = images.float().div_(255)
        grid = functional.affine_grid(self._affine(len(values)), list(values.shape), align_corners=False)
        values = functional.grid_sample(values, grid, padding_mode="reflection", align_corners=False)
        return self._colour(values).contiguous(memory_format=torch.channels_last)

    def _uniform(self, count: int, limit: float) -> Tensor:
        """``count`` draws between -limit and limit."""
        device = self.generator.device
        return (torch.rand(count, generator=self.generator, device=device) * 2 - 1) * limit

    def _affine(self, count: int) -> Tensor:
        """Matrices [count, 2, 3] from output to input coordinates, both -1..1."""
        config = self.config
        angle = self._uniform(count, math.radians(config.rotation_degrees))
        scale = 1 / (1 + self._uniform(count, config.zoom))
        draws = torch.rand(count, generator=self.generator, device=self.generator.device)
        mirror = torch.where(draws < config.flip_probability, -1.0, 1.0)
        shift_x, shift_y = self._uniform(count, 2 * config.shift), self._uniform(count, 2 * config.shift)
        cos, sin = scale * angle.cos(), scale * angle.sin()
        row_x = torch.stack((mirror * cos, -mirror * sin, shift_x), dim=1)
        row_y = torch.stack((sin, cos, shift_y), dim=1)
        return torch.stack((row_x, row_y), dim=1)

    def _colour(self, values: Tensor) -> Tensor:
        def factor(limit: float) -> Tensor:
            return 1 + self._uniform(len(values), limit).view(-1, 1, 1, 1)

        values = (values * factor(self.config.brightness)).clamp(0, 1)
        luma = values.new_tensor(LUMA).view(1, 3, 1, 1)
        mean = (values * luma).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
        values = torch.lerp(mean, values, factor(self.config.contrast)).clamp(0, 1)
        grey = (values * luma).sum(dim=1, keepdim=True)
        return torch.lerp(grey, values, factor(self.config.saturation)).clamp(0, 1)


def build_augment(config: AugmentConfig, generator: torch.Generator) -> Flip | LightAugment | None:
    """The augmentation that a configuration asks for; None where images stay as they are."""
    match config:
        case FlipAugmentConfig():
            return Flip(config.flip_probability, generator)
        case LightAugmentConfig():
            return LightAugment(config, generator)
        case _:
            return None
