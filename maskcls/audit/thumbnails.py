"""Finds plain copies from small thumbnails: resized, re-encoded or recoloured files whose picture stays in place.

Local features tell nothing about images with few corners, such as digits, X-rays or product photographs. Thumbnails of
all images are compared by a search for nearest neighbours in a tree, whose work grows about linearly with the number of
images: 0.2 seconds for 10,800 images and 11 for 100,000 on one core.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from maskcls.audit.features import Features
from maskcls.audit.geometry import EDITED_SHARE, MIN_AGREEMENT_EVERYWHERE, Match, compare, compare_everywhere

# side of a small thumbnail in pixels
SMALL_SIDE = 16
# number of principal components of the thumbnails, at half the side, in which neighbours are looked for
COMPONENTS = 24
# number of thumbnails that the components are computed from
SAMPLE = 10_000
# number of neighbours of an image that are compared with it, and their largest distance: the thumbnails are vectors of
# unit length, which are so far apart where their correlation is 0.989; enlarged in any way, a copy is 0.11 away
NEIGHBOURS, MAX_DISTANCE = 10, 0.15
# largest difference of two small thumbnails, as a share of their contrast: its standard deviation, and its largest
# value. Of scikit-learn's 1,797 digits, two different ones differ by 0.10 and 0.46 or more at 8 x 8 pixels, and by
# 0.084 and 0.32 enlarged. Copies as JPEG of quality 80 differ by 0.088 and 0.37 at most at 8 x 8 pixels (the median is
# 0.06 and 0.19), and by 0.016 and 0.07 at 28 x 28
MAX_RESIDUAL, MAX_DEVIATION = 0.09, 0.3
# smallest standard deviation of a small thumbnail, in levels of 255: below, noise would be compared
MIN_CONTRAST = 3.0
# longer side of images of which small thumbnails show everything
TINY_SIDE = 2 * SMALL_SIDE
# the blur of two thumbnails may differ: these are the weights of enlarging and shrinking by linear interpolation, and
# those of a blur beside which such differences do not count
_BLUR, _STRONG_BLUR = np.array([1, 6, 1], dtype=np.float32) / 8, np.array([1, 2, 1], dtype=np.float32) / 4


def small_thumbnail(grey: np.ndarray) -> np.ndarray:
    """Resize a grey image, uint8 [height, width], to a square, uint8 [SMALL_SIDE, SMALL_SIDE]."""
    interpolation = cv2.INTER_AREA if min(grey.shape) >= SMALL_SIDE else cv2.INTER_LINEAR
    return cv2.resize(grey, (SMALL_SIDE, SMALL_SIDE), interpolation=interpolation)


def neighbours(thumbnails: np.ndarray, images: Sequence[int], threads: int) -> list[tuple[int, int]]:
    """Find pairs of images with similar small thumbnails, the most similar first.

    Args:
        thumbnails: uint8 [images, SMALL_SIDE, SMALL_SIDE].
        images: positions of the images to compare.
    """
    from scipy.spatial import cKDTree

    halves = [_blurred(halved, _STRONG_BLUR).ravel() for halved in _halved(thumbnails[images].astype(np.float32))]
    if not halves:
        return []
    vectors = np.stack(halves)
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1)
    varied = np.flatnonzero(lengths >= MIN_CONTRAST * np.sqrt(centred.shape[1]))
    if len(varied) < 2:
        return []
    vectors = centred[varied] / lengths[varied, None]
    sample = vectors[np.random.default_rng(0).permutation(len(vectors))[:SAMPLE]]
    directions = np.linalg.eigh(sample.T @ sample)[1][:, -COMPONENTS:]
    projected = vectors @ directions
    count = min(NEIGHBOURS + 1, len(varied))
    distances, found = cKDTree(projected).query(projected, k=count, distance_upper_bound=MAX_DISTANCE, workers=threads)
    rows, columns = np.nonzero(np.isfinite(distances))
    others = found[rows, columns]
    closest = {}
    for row, other, distance in zip(rows.tolist(), others.tolist(), distances[rows, columns].tolist(), strict=True):
        if row != other:
            closest[min(row, other), max(row, other)] = distance
    return [
        (images[varied[first]], images[varied[second]]) for first, second in sorted(closest, key=closest.__getitem__)
    ]


def are_alike(first: np.ndarray, second: np.ndarray, shorter_side: int) -> bool:
    """Tell whether two small thumbnails differ only in brightness, contrast, blur and compression.

    Args:
        first, second: uint8 [SMALL_SIDE, SMALL_SIDE].
        shorter_side: shortest side of the two images in pixels: small images have no detail to compare.
    """
    small = [thumbnail.astype(np.float32) for thumbnail in (first, second)]
    if shorter_side < SMALL_SIDE:
        small = [_halved(thumbnail[None])[0] for thumbnail in small]
    return _is_made_of(*small) or _is_made_of(*reversed(small))


def _is_made_of(source: np.ndarray, target: np.ndarray) -> bool:
    """Whether ``target`` is a sum of ``source``, a blurred version of it, and a constant, but for small differences."""
    blurred = _blurred(source, _BLUR)
    terms = np.stack([source.ravel(), blurred.ravel(), np.ones(source.size, np.float32)], axis=1)
    weights = np.linalg.lstsq(terms, target.ravel(), rcond=None)[0]
    differences = target.ravel() - terms @ weights
    contrast = float(target.std())
    is_inverted = weights[0] + weights[1] <= 0
    return bool(
        not is_inverted
        and differences.std() <= MAX_RESIDUAL * contrast
        and np.abs(differences).max() <= MAX_DEVIATION * contrast
    )


def confirm(first: Features, second: Features, longer_side: int) -> Match | None:
    """Compare the pixels of two images whose small thumbnails are alike; None where they are different pictures.

    Args:
        longer_side: of the smaller image, in pixels. Its size was rounded, so the shapes may differ by half a pixel.
    """
    (height, width), (other_height, other_width) = first.thumbnail.shape, second.thumbnail.shape
    rounding = 1 + max(height, width) / longer_side / 2
    if max(abs(height - other_height), abs(width - other_width)) > rounding:
        return None
    matrix = np.diag([other_width / width, other_height / height, 1.0])[:2]
    _, changed = compare(first.thumbnail, second.thumbnail, matrix)
    agreement = compare_everywhere(first.thumbnail, second.thumbnail, matrix, longer_side)
    if longer_side > TINY_SIDE and (agreement < MIN_AGREEMENT_EVERYWHERE or changed > EDITED_SHARE):
        return None
    return Match(matrix, 0, agreement, changed)


def _blurred(thumbnail: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return cv2.sepFilter2D(thumbnail, -1, weights, weights, borderType=cv2.BORDER_REPLICATE)


def _halved(thumbnails: np.ndarray) -> np.ndarray:
    """Halve the sides of square thumbnails, float32 [images, side, side]."""
    count, side, _ = thumbnails.shape
    halved: np.ndarray = thumbnails.reshape(count, side // 2, 2, side // 2, 2).mean(axis=(2, 4))
    return halved
