"""Antialiased bilinear resizing, with PyTorch where it is loaded, and to the same pixels with NumPy where it is not.

PyTorch is several times faster, but takes a second to import, which prediction without it need not wait for.
"""

import sys
from typing import NamedTuple

import numpy as np

# bits of the weights, which PyTorch holds as signed 16-bit integers; and the most that they are shifted by
WEIGHT_BITS, MAX_SHIFT = 15, 22


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image, equal to PIL's antialiased bilinear interpolation to within rounding.

    Args:
        image: uint8 [rows, columns, 3].

    Returns:
        uint8 [height, width, 3], contiguous; it may be ``image`` if the size is the same.
    """
    return resized_by_torch(image, height, width) if "torch" in sys.modules else resized_by_numpy(image, height, width)


def resized_by_torch(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """As `resized`, with PyTorch. OpenCV's bilinear resizing does not antialias, and PIL's takes longer."""
    import torch
    from torch.nn import functional

    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    resized = functional.interpolate(batch, size=(height, width), mode="bilinear", antialias=True)
    result: np.ndarray = resized[0].permute(1, 2, 0).numpy()
    return result


def resized_by_numpy(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """As `resized_by_torch`, to the last bit: columns first, rounded to 8 bits, then rows."""
    rows, columns = image.shape[:2]
    if width != columns:
        lines = np.ascontiguousarray(image.transpose(1, 0, 2)).reshape(columns, rows * 3)
        image = np.ascontiguousarray(_along_lines(lines, width).reshape(width, rows, 3).transpose(1, 0, 2))
    if height != rows:
        image = _along_lines(image.reshape(rows, width * 3), height).reshape(height, width, 3)
    return image


class _Taps(NamedTuple):
    """Which lines of the input make each line of the output.

    Attributes:
        first: int64 [size], position of the first line.
        weights: int32 [size, lines], of that line and of those after it; zero where there are fewer.
        shift: the weights of an output line sum to 2 to this power, but for rounding.
    """

    first: np.ndarray
    weights: np.ndarray
    shift: int


def _taps(length: int, size: int) -> _Taps:
    """Weights of a triangle, as wide as two lines of the input or of the output, whichever are wider."""
    scale = length / size
    support = max(scale, 1.0)
    centers = scale * (np.arange(size) + 0.5)
    first = np.maximum((centers - support + 0.5).astype(np.int64), 0)
    ends = np.minimum((centers + support + 0.5).astype(np.int64), length)
    lines = np.arange(2 * int(np.ceil(support)) + 1)
    distances = np.abs(lines + first[:, None] - centers[:, None] + 0.5) * (1 / support)
    shares = np.where(lines < (ends - first)[:, None], np.maximum(0, 1 - distances), 0)
    # summed one after another, as PyTorch does it: NumPy's own sum may round otherwise
    shares /= shares.cumsum(axis=1)[:, -1:]
    shift = next(bits for bits in range(MAX_SHIFT + 1) if bits == MAX_SHIFT or _needs_all_bits(shares.max(), bits + 1))
    return _Taps(first, (shares * 2**shift + 0.5).astype(np.int32), shift)


def _needs_all_bits(share: float, shift: int) -> bool:
    return int(0.5 + share * 2**shift) >= 2**WEIGHT_BITS


def _along_lines(lines: np.ndarray, size: int) -> np.ndarray:
    """Resize the first axis, uint8 [length, values], to uint8 [size, values]."""
    first, weights, shift = _taps(len(lines), size)
    sums = np.full((size, lines.shape[1]), 2 ** (shift - 1), dtype=np.int32)  # half of the unit, which rounds
    for line, column in enumerate(weights.T):
        sums += lines[np.minimum(first + line, len(lines) - 1)] * column[:, None]
    return np.clip(sums >> shift, 0, 255).astype(np.uint8)
