"""Mean and standard deviation of each channel, which normalisation uses."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from maskcls.config import Range
from maskcls.config.types import Fraction
from maskcls.data.streaming import Images

# images are divided by it: far smaller ones would give infinite values
Deviation = Annotated[float, Range(1e-6, 1)]


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of red, green and blue, of values scaled to 0..1."""

    mean: tuple[Fraction, Fraction, Fraction]
    std: tuple[Deviation, Deviation, Deviation]


# values of the study; its std is the mean of every image's own std, not the std of all pixels
STUDY = Normalization((0.5685, 0.4648, 0.4162), (0.2430, 0.2229, 0.2187))
# values that torchvision's pretrained weights expect
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def measure(images: Images, chunk: int = 256) -> Normalization:
    """Measure mean and standard deviation over all pixels of all images.

    Args:
        images: uint8 [images, height, width, 3], at least one.
        chunk: images read at a time.

    Returns:
        Both rounded to six digits; the standard deviation of a channel that never varies is 1.
    """
    # counts of the 256 values give both moments exactly, however many pixels there are
    histogram = np.zeros((3, 256), dtype=np.int64)
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk]
        for channel in range(3):
            histogram[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    weights = histogram / histogram.sum(axis=1, keepdims=True)
    mean = weights @ values
    std = np.sqrt(np.maximum(weights @ values**2 - mean**2, 0))
    std = np.where(std > 1e-6, std, 1.0)
    return Normalization(tuple(mean.round(6).tolist()), tuple(std.round(6).tolist()))
