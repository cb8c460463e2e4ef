"""Mean and standard deviation of each channel, by which images are normalised."""

from typing import NamedTuple

import numpy as np

from maskcls.data.streaming import StreamedImages


class Normalization(NamedTuple):
    """Per channel (red, green, blue), of values scaled to 0..1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# the study's; its std is the mean of each image's own, not that of all pixels
STUDY = Normalization((0.5685, 0.4648, 0.4162), (0.2430, 0.2229, 0.2187))
# torchvision's pretrained weights expect these
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def measure(images: np.ndarray | StreamedImages, chunk: int = 256) -> Normalization:
    """Mean and standard deviation over all pixels of all images.

    Args:
        images: uint8 [images, height, width, 3].
        chunk: images read at a time.
    """
    # a histogram holds both moments exactly, whatever the number of pixels
    histogram = np.zeros((3, 256), dtype=np.int64)
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk]
        for channel in range(3):
            histogram[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    weights = histogram / histogram.sum(axis=1, keepdims=True)
    mean = weights @ values
    std = np.sqrt(np.maximum(weights @ values**2 - mean**2, 0))
    # a channel that never varies is left unscaled
    std = np.where(std > 1e-6, std, 1.0)
    return Normalization(tuple(mean.round(6).tolist()), tuple(std.round(6).tolist()))
