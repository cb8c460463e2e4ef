"""Random changes of training images, made batch by batch on the device."""

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from maskcls.config import AugmentConfig, FlipAugmentConfig, LightAugmentConfig, RobustAugmentConfig
from maskcls.data.fallback import with_fallback

# weights of red, green and blue in the luma of ITU-R BT.601, which torchvision and PIL use, too
LUMA = (0.299, 0.587, 0.114)


class Augment(Protocol):
    """Changes batches, uint8 [batch, 3, height, width], at random."""

    @property
    def steps(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        """What it does, by name, one after another; each takes what `__call__` takes."""

    def __call__(self, images: Tensor) -> Tensor:
        """Change images; the result is uint8, or float32 with values in 0..1, of the same shape."""


class Flip:
    """Mirrors some images left to right.

    Args:
        probability: probability that an image is mirrored, 0..1.
        generator: draws which images are mirrored; on the device of the images.
    """

    def __init__(self, probability: float, generator: torch.Generator) -> None:
        self.probability = probability
        self.generator = generator

    @property
    def steps(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        """See `Augment`."""
        return {"flip": self}

    def __call__(self, images: Tensor) -> Tensor:
        """Mirror some of the images [batch, 3, height, width], of any type; the result has the same type."""
        draws = torch.rand(len(images), generator=self.generator, device=self.generator.device)
        return torch.where((draws < self.probability).view(-1, 1, 1, 1), images.flip(3), images)


class LightAugment:
    """Flips, shifts, rotates, zooms and recolours images, each by amounts of its own.

    Args:
        config: the ranges of the amounts.
        generator: draws the amounts; on the device of the images.
    """

    def __init__(self, config: LightAugmentConfig, generator: torch.Generator) -> None:
        self.config = config
        self.generator = generator
        self._luma = torch.tensor(LUMA, device=generator.device).view(1, 3, 1, 1)  # once: the copy waits for the device

    @property
    def steps(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        """See `Augment`."""
        return {"light": self}

    def __call__(self, images: Tensor) -> Tensor:
        """Change images.

        Args:
            images: uint8 [batch, 3, height, width].

        Returns:
            float32 of the same shape, values in 0..1, in channels_last memory format.
        """
        values = images.float().div_(255)
        grid = functional.affine_grid(self._affine(len(values)), list(values.shape), align_corners=False)
        values = with_fallback(functional.grid_sample, values, grid, padding_mode="reflection", align_corners=False)
        return self._colour(values).contiguous(memory_format=torch.channels_last)

    def _uniform(self, count: int, limit: float) -> Tensor:
        """Draw ``count`` numbers between -limit and limit."""
        device = self.generator.device
        return (torch.rand(count, generator=self.generator, device=device) * 2 - 1) * limit

    def _affine(self, count: int) -> Tensor:
        """Draw matrices [count, 2, 3] that map output to input coordinates, both in -1..1."""
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
        mean = (values * self._luma).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
        values = torch.lerp(mean, values, factor(self.config.contrast)).clamp(0, 1)
        grey = (values * self._luma).sum(dim=1, keepdim=True)
        return torch.lerp(grey, values, factor(self.config.saturation)).clamp(0, 1)


def build_augment(config: AugmentConfig, generator: torch.Generator) -> Augment | None:
    """Build the augmentation that a configuration asks for; None if images stay as they are."""
    match config:
        case FlipAugmentConfig():
            return Flip(config.flip_probability, generator)
        case LightAugmentConfig():
            return LightAugment(config, generator)
        case RobustAugmentConfig():
            from maskcls.data.robust import RobustAugment  # torchvision takes a second to import

            return RobustAugment(config, generator)
        case _:
            return None
