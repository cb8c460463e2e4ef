"""Random changes that make photographs of other origin: distance, background, light, occlusion, camera.

Each ingredient is a function of a batch, float32 [batch, 3, size, size] with values in 0..1, and changes a share of its
images. A share of 0 leaves it out.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as transforms

from maskcls.config import RobustAugmentConfig
from maskcls.data.augment import LUMA
from maskcls.data.fallback import with_fallback

# share of the pasted faces that get a neck and shoulders
BODIES = 0.6
# parts of a batch that get a camera of their own
CAMERAS = 4


@dataclass(frozen=True)
class Dice:
    """Draws random numbers on the device of its generator."""

    generator: torch.Generator

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw numbers between low and high, float32 [count]."""
        draws = torch.rand(count, generator=self.generator, device=self.generator.device)
        return low + draws * (high - low)

    def log_uniform(self, count: int, low: float, high: float) -> Tensor:
        """Draw numbers between low and high whose logarithms are uniform, float32 [count]."""
        return self.uniform(count, math.log(low), math.log(high)).exp()

    def chosen(self, count: int, share: float) -> Tensor:
        """Choose a share of ``count``, bool [count]."""
        return self.uniform(count) < share


def as_float(images: Tensor) -> Tensor:
    """Return images, uint8 or float32 in 0..1, as float32 in 0..1, channels first in memory."""
    return images.float().div_(255).contiguous() if images.dtype == torch.uint8 else images


def column(values: Tensor) -> Tensor:
    """Shape one value for each image so that it is broadcast over the image."""
    return values.view(-1, 1, 1, 1)


def coordinates(size: int, like: Tensor) -> Tensor:
    """Return the coordinates (x, y) of each pixel, -1..1, float32 [size, size, 2]."""
    steps = (torch.arange(size, device=like.device, dtype=torch.float32) * 2 + 1) / size - 1
    return torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)


def sample(images: Tensor, grid: Tensor) -> Tensor:
    """Look images up at coordinates [batch, size, size, 2]; outside, the border is continued."""
    return with_fallback(functional.grid_sample, images, grid, padding_mode="border", align_corners=False)


class RobustAugment:
    """Makes training images look as if they came from anywhere.

    Args:
        config: the shares and ranges.
        generator: draws all changes; on the device of the images.
    """

    def __init__(self, config: RobustAugmentConfig, generator: torch.Generator) -> None:
        self.config = config
        self.dice = Dice(generator)
        self._luma = torch.tensor(LUMA, device=generator.device).view(1, 3, 1, 1)  # once: the copy waits for the device

    def __call__(self, images: Tensor) -> Tensor:
        """Change images.

        Args:
            images: uint8 [batch, 3, size, size].

        Returns:
            float32 of the same shape, values in 0..1, in channels_last memory format.
        """
        for step in self.steps.values():
            images = step(images)
        return images.contiguous(memory_format=torch.channels_last)

    @property
    def steps(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        """What is done to a batch, one after another; each takes uint8, or float32 with values in 0..1."""
        return {"distance": self.pasted, "patches": self.patched, "light": self.lit, "camera": self.photographed}

    def pasted(self, images: Tensor) -> Tensor:
        """Turn, stretch, mirror, move and scale images; paste some of them, shrunk, onto another background."""
        config, dice, count, images = self.config, self.dice, len(images), as_float(images)
        far = round(config.distance * count)  # the first ones, since a batch is in random order
        scale = 1 + dice.uniform(count, -config.zoom, config.zoom)
        scale[:far] = dice.log_uniform(far, config.smallest, 1.0)
        room = torch.full_like(scale, 2 * config.shift)
        room[:far] = (1.1 - scale[:far]).clamp(min=0)
        shift = torch.stack((dice.uniform(count, -1, 1), dice.uniform(count, -1, 1)), dim=1) * room[:, None]
        angle = dice.uniform(count, -1, 1) * dice.uniform(count) * math.radians(config.rotation_degrees)
        stretch = dice.uniform(count, -1, 1).mul(math.log1p(config.stretch)).exp()
        mirror = torch.where(dice.chosen(count, config.flip_probability), -1.0, 1.0)
        cos, sin = angle.cos() / scale, angle.sin() / scale
        turn = torch.stack((mirror * stretch * cos, mirror * stretch * sin, -sin / stretch, cos / stretch), dim=1)
        turn = turn.view(-1, 2, 2)
        offset = -torch.bmm(turn, shift[:, :, None])
        where = functional.affine_grid(torch.cat((turn, offset), dim=2), list(images.shape), align_corners=False)
        # beyond the border, half of the images are mirrored, and half continue their border
        mirrored = 1 - ((where + 1).remainder(4) - 2).abs()
        pasted = sample(images, torch.where(column(dice.chosen(count, 0.5)), mirrored, where))
        if far:
            backgrounds = self._backgrounds(images.roll(1, dims=0)[:far])
            backgrounds = self._with_bodies(backgrounds, images[:far], where[:far])
            pasted[:far] = torch.lerp(backgrounds, pasted[:far], self._outline(where[:far]))
        return pasted

    def _outline(self, where: Tensor) -> Tensor:
        """How much of each pixel a pasted image covers: a rounded rectangle with soft edges; [batch, 1, size, size]."""
        count = len(where)
        power = column(self.dice.log_uniform(count, 2, 20))
        edge = column(self.dice.log_uniform(count, 0.02, 0.5))
        far = where.abs().clamp(max=4).movedim(-1, 1).pow(power).sum(dim=1, keepdim=True).pow(1 / power)
        return ((1 - far) / edge + 0.5).clamp(0, 1)

    def _backgrounds(self, others: Tensor) -> Tensor:
        """Make backgrounds of other images: their corners enlarged, the images blurred, plain colours and noise."""
        dice, count, size = self.dice, len(others), others.shape[-1]
        corner = torch.stack((dice.uniform(count, 0.4, 0.9), dice.uniform(count, 0.4, 0.9)), dim=1)
        corner = corner * torch.where(dice.uniform(2 * count).view(-1, 2) < 0.5, -1.0, 1.0)
        half = dice.log_uniform(count, 0.1, 0.6)
        backgrounds = sample(others, coordinates(size, others)[None] * column(half) + corner[:, None, None])
        few = with_fallback(functional.adaptive_avg_pool2d, others, output_size=5)
        blurred = functional.interpolate(few, size=(size, size), mode="bilinear", align_corners=False)
        plain = dice.uniform(3 * count).view(-1, 3, 1, 1)
        cells = dice.uniform(3 * count * 64).view(-1, 3, 8, 8)
        spots = functional.interpolate(plain + (cells - 0.5) * 0.7, size=(size, size), mode="nearest").clamp(0, 1)
        kind = column(dice.uniform(count))
        backgrounds = torch.where(kind < 0.5, blurred, backgrounds)
        backgrounds = torch.where(kind < 0.25, plain, backgrounds)
        return torch.where(kind < 0.08, spots, backgrounds)

    def _with_bodies(self, backgrounds: Tensor, faces: Tensor, where: Tensor) -> Tensor:
        """Draw a neck and shoulders below most of the pasted images: clothes are not masks.

        Args:
            backgrounds: the backgrounds to draw on.
            faces: the images that will be pasted, float32 [batch, 3, size, size].
            where: coordinates in these images, -1..1, of each pixel of the backgrounds, [batch, size, size, 2].
        """
        dice, count, size = self.dice, len(faces), faces.shape[-1]
        x, y = where[..., 0].abs()[:, None], where[..., 1][:, None]
        chin, neck = column(dice.uniform(count, 0.5, 0.95)), column(dice.uniform(count, 0.25, 0.5))
        collar, slope = column(dice.uniform(count, 0.8, 1.5)), column(dice.uniform(count, 0.6, 4))
        forehead = faces[..., size // 5 : size // 3, 2 * size // 5 : 3 * size // 5].mean(dim=(2, 3), keepdim=True)
        weave = faces.roll(2, dims=0).flip(2)
        shirt = torch.lerp(dice.uniform(3 * count).view(-1, 3, 1, 1), weave, column(dice.uniform(count, 0, 0.5)))
        is_drawn = column(dice.chosen(count, BODIES))
        backgrounds = torch.where(is_drawn & (y > chin) & (x < neck), forehead * 0.9, backgrounds)
        return torch.where(is_drawn & (y > collar) & (x < neck + (y - collar) * slope), shirt, backgrounds)

    def patched(self, images: Tensor) -> Tensor:
        """Cover a part of some images with a piece of another one, upside down, so that mouths do not cover mouths."""
        count, images = round(self.config.patches * len(images)), as_float(images)
        if not count:
            return images
        others, some = images[:count].flip(2), images[-count:]  # of other images than the pasted ones, mostly
        centre = self.dice.uniform(2 * count, -1, 1).view(-1, 1, 1, 2)
        half = self.dice.uniform(2 * count, 0.08, 0.4).view(-1, 1, 1, 2)
        inside = ((coordinates(images.shape[-1], images) - centre).abs() < half).all(dim=-1)[:, None]
        return torch.cat((images[:-count], torch.where(inside, others, some)))

    def lit(self, images: Tensor) -> Tensor:
        """Change brightness, contrast, gamma, white balance and saturation; make some images grey."""
        config, dice, count, images = self.config, self.dice, len(images), as_float(images)

        def factor(limit: float) -> Tensor:
            return column(1 + dice.uniform(count, -limit, limit))

        gamma = column(dice.uniform(count, -1, 1).mul(math.log1p(config.gamma)).exp())
        balance = (1 + dice.uniform(3 * count, -config.white_balance, config.white_balance)).view(-1, 3, 1, 1)
        images = (images.clamp(min=1e-4).pow(gamma) * factor(config.brightness) * balance).clamp(0, 1)
        grey = (images * self._luma).sum(dim=1, keepdim=True)
        saturation = torch.where(column(dice.chosen(count, config.grey)), 0.0, factor(config.saturation))
        images = torch.lerp(grey, images, saturation)
        mean = grey.mean(dim=(2, 3), keepdim=True)
        return torch.lerp(mean, images, factor(config.contrast)).clamp(0, 1)

    def photographed(self, images: Tensor) -> Tensor:
        """Blur images, take away resolution, add noise and compress: for each part of the batch in its own way."""
        config, parts = self.config, as_float(images).tensor_split(CAMERAS)
        draws = self.dice.uniform(CAMERAS * 9).view(CAMERAS, 9).tolist()  # in one go: the host waits for the device
        done = []
        for part, (blur, sigma, low, side, mode, noise, grain, jpeg, quality) in zip(parts, draws, strict=True):
            if not len(part):
                continue
            size = part.shape[-1]
            if blur < config.blur:
                spread = size / 112 * 0.4 * 6**sigma
                part = transforms.gaussian_blur(part, [2 * math.ceil(2 * spread) + 1] * 2, [spread, spread])
            if low < config.low_resolution:
                smallest = min(config.smallest_side, size)
                part = reduced(part, round(smallest * (size / smallest) ** side), mode)
            if noise < config.noise:
                amounts = torch.randn(part.shape, generator=self.dice.generator, device=part.device)
                part = (part + amounts * (0.08 * grain)).clamp(0, 1)
            if jpeg < config.compression:
                part = compressed(part, round(15 + 75 * quality))
            done.append(part)
        return torch.cat(done)


def reduced(images: Tensor, side: int, mode: float) -> Tensor:
    """Reduce images to ``side`` pixels a side and enlarge them again; ``mode``, 0..1, chooses the interpolations."""
    size = images.shape[-1]
    shrink = "area" if mode < 0.5 else "nearest-exact"
    small = with_fallback(functional.interpolate, images, size=(side, side), mode=shrink)
    if mode % 0.5 < 0.1:
        return functional.interpolate(small, size=(size, size), mode="nearest-exact")
    back = "bicubic" if mode % 0.5 < 0.3 else "bilinear"
    return functional.interpolate(small, size=(size, size), mode=back, align_corners=False).clamp(0, 1)


def compressed(images: Tensor, quality: int) -> Tensor:
    """Compress images as JPEG files of a quality, 1..100, and decode them. The CPU does this, also for a GPU."""
    pixels = (images * 255).round().to(torch.uint8).flip(1).permute(0, 2, 3, 1).cpu().numpy()  # OpenCV's order: BGR
    files = [cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))[1] for image in pixels]
    decoded = torch.from_numpy(np.array([cv2.imdecode(file, cv2.IMREAD_COLOR_RGB) for file in files]))
    return decoded.permute(0, 3, 1, 2).to(images.device).float().div_(255)
