"""Whether two images show one photograph: features that one affine map carries over, and pixels that then agree."""

from typing import NamedTuple

import cv2
import numpy as np

from maskcls.audit.features import Features, mirrored

# how far from where the map takes it a feature may lie, in pixels of a thumbnail
TOLERANCE = 4.0
# features that one map must carry over
MIN_INLIERS = 6
# by how much a map may stretch or shrink at most, in any direction
MAX_STRETCH = 4.0
# correlation of the aligned pixels: pictures of two faces reach 0.5, two versions of one photograph fall to 0.75
MIN_AGREEMENT = 0.7
# share of the common area that one changed patch must fill for the picture to count as edited
EDITED_SHARE = 0.02
# the same correlation beside the changed patches, and the features carried over, where there are some: leaving out what
# differs flatters it, and the blocks of enlarged thumbnails have their corners in common
MIN_AGREEMENT_BESIDE, MIN_INLIERS_BESIDE = 0.87, 16
# share of the common area that must be left beside them
MIN_UNCHANGED = 0.5
# levels of 255 by which a changed pixel differs, brightness and contrast having been matched
CHANGED_LEVELS = 30


class Match(NamedTuple):
    """How one image lies on another that shows the same photograph.

    Attributes:
        matrix: float64 [2, 3], from positions in the first thumbnail to those in the second; where ``is_mirrored``,
            too: then its determinant is negative.
        inliers: features that it carries over.
        agreement: correlation of the aligned thumbnails' fine structure, -1..1, beside patches that differ.
        changed: share of the common area that the largest patch that differs fills, 0..1.
    """

    matrix: np.ndarray
    inliers: int
    agreement: float
    changed: float

    @property
    def is_mirrored(self) -> bool:
        """Whether left is right in the other image."""
        return bool(np.linalg.det(self.matrix[:, :2]) < 0)

    @property
    def is_edited(self) -> bool:
        """Whether a part of the picture was replaced, as by a mask that was drawn on."""
        return self.changed > EDITED_SHARE

    @property
    def keeps_the_frame(self) -> bool:
        """Whether the corners stay where they are, so that the images differ in size or encoding alone."""
        moved = np.abs(self.matrix - np.eye(2, 3))
        return bool(moved[:, :2].max() < 0.02 and moved[:, 2].max() < 2)


def match(
    first: Features, second: Features, first_thumbnail: np.ndarray, second_thumbnail: np.ndarray, mirror: bool
) -> Match | None:
    """Lay one image on another and compare what they have in common.

    Args:
        first_thumbnail, second_thumbnail: uint8 [height, width], what the features were extracted from.
        mirror: suppose that left is right in the other image.

    Returns:
        None where they do not show one photograph.
    """
    alignment = align(first, second, mirror)
    if alignment is None:
        return None
    matrix, inliers = alignment
    found = Match(matrix, inliers, *compare(first_thumbnail, second_thumbnail, matrix))
    if found.is_edited and (found.agreement < MIN_AGREEMENT_BESIDE or inliers < MIN_INLIERS_BESIDE):
        return None
    return found if found.agreement >= MIN_AGREEMENT else None


def align(first: Features, second: Features, mirror: bool) -> tuple[np.ndarray, int] | None:
    """The affine map that most of the matched features agree on, and their number; None where they are too few.

    RANSAC (Fischler and Bolles 1981, https://doi.org/10.1145/358669.358692) over mutually nearest descriptors.
    """
    rows, columns = _mutually_nearest(mirrored(first.descriptors) if mirror else first.descriptors, second.descriptors)
    if len(rows) < MIN_INLIERS:
        return None
    source, target = first.positions[rows], second.positions[columns]
    matrix, mask = cv2.estimateAffine2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=500, confidence=0.999
    )
    if matrix is None or not np.isfinite(matrix).all():
        return None
    kept = mask.ravel().astype(bool)
    if kept.sum() < MIN_INLIERS:
        return None
    # several features may stand in one place: they are one piece of evidence
    inliers = min(len(set(map(tuple, part[kept].round().tolist()))) for part in (source, target))
    stretch = np.linalg.svd(matrix[:, :2], compute_uv=False)
    is_mirrored = np.linalg.det(matrix[:, :2]) < 0
    if inliers < MIN_INLIERS or stretch[0] > MAX_STRETCH or stretch[1] < 1 / MAX_STRETCH or is_mirrored != mirror:
        return None
    return matrix, inliers


def _mutually_nearest(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both that are each other's nearest. RootSIFT descriptors have one length, so their product tells."""
    if not len(first) or not len(second):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    similarity = first.astype(np.float32) @ second.astype(np.float32).T
    forth, back = similarity.argmax(axis=1), similarity.argmax(axis=0)
    rows = np.flatnonzero(back[forth] == np.arange(len(first)))
    return rows, forth[rows]


def compare(first: np.ndarray, second: np.ndarray, matrix: np.ndarray) -> tuple[float, float]:
    """Compare an image's pixels with another's, on which it is laid by ``matrix``.

    Args:
        first, second: uint8 [height, width].

    Returns:
        The correlation of what a band-pass filter leaves, beside changed patches where there are some, and the share
        of the common area that the largest of these fills. Both 0 where they have next to nothing in common.
    """
    height, width = second.shape
    laid = cv2.warpAffine(first, matrix, (width, height)).astype(np.float32)
    covered = cv2.warpAffine(np.ones_like(first), matrix, (width, height))
    common = cv2.erode(covered, np.ones((7, 7), np.uint8), borderValue=0).astype(bool)
    if common.mean() < 0.05:
        return 0.0, 0.0
    a, b = (cv2.GaussianBlur(image.astype(np.float32), (0, 0), 2) for image in (laid, second))
    differs = ((np.abs(_match_brightness(a, b, common) - b) > CHANGED_LEVELS) & common).astype(np.uint8)
    areas = cv2.connectedComponentsWithStats(differs)[2][1:, cv2.CC_STAT_AREA]
    changed = float(areas.max(initial=0) / common.sum())
    compared = common
    if changed > EDITED_SHARE:
        compared = common & ~cv2.dilate(differs, np.ones((9, 9), np.uint8)).astype(bool)
        if compared.sum() < MIN_UNCHANGED * common.sum():
            return 0.0, changed
    return _correlation(_band_pass(laid)[compared], _band_pass(second.astype(np.float32))[compared]), changed


def _band_pass(image: np.ndarray) -> np.ndarray:
    """Without noise and without shading: edges and texture are left."""
    blurred: np.ndarray = cv2.GaussianBlur(image, (0, 0), 1) - cv2.GaussianBlur(image, (0, 0), 4)
    return blurred


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's coefficient; 0 where one of them does not vary."""
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt(np.square(x).sum() * np.square(y).sum()))
    return float((x * y).sum()) / scale if scale > 1e-3 else 0.0


def _match_brightness(image: np.ndarray, reference: np.ndarray, common: np.ndarray) -> np.ndarray:
    """Scale and shift ``image`` to ``reference``, by the seven tenths of the common pixels that fit best."""
    x, y = image[common][::4], reference[common][::4]  # a quarter of them says as much
    fits = np.ones(len(x), dtype=bool)
    gain, offset = 1.0, 0.0
    for _ in range(3):
        covariance = np.cov(x[fits], y[fits])
        gain = float(np.clip(covariance[0, 1] / max(covariance[0, 0], 1e-6), 0.3, 3))
        offset = float(np.median(y[fits] - gain * x[fits]))
        residuals = np.abs(gain * x + offset - y)
        fits = residuals <= np.quantile(residuals, 0.7)
    return gain * image + offset
