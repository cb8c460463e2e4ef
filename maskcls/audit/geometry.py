"""Tests whether two images show one image: one affine map aligns features, and the aligned pixels agree."""

from typing import NamedTuple

import cv2
import numpy as np

from maskcls.audit.features import Features, mirrored

# largest distance in pixels of a thumbnail between a feature and where the map takes it
TOLERANCE = 4.0
# smallest number of features that one map must carry over
MIN_INLIERS = 6
# largest factor by which a map may stretch or shrink, in any direction
MAX_STRETCH = 4.0
# smallest correlation of the aligned pixels: pictures of two faces reach 0.5, versions of one photograph fall to 0.75
MIN_AGREEMENT = 0.7
# a picture counts as edited where one changed patch fills more than this share of the common area
EDITED_SHARE = 0.02
# smallest correlation and number of inliers of an edited picture, outside its changed patches: leaving out what differs
# raises the correlation, and enlarged thumbnails have the corners of their blocks in common
MIN_AGREEMENT_BESIDE, MIN_INLIERS_BESIDE = 0.87, 16
# smallest share of the common area that must be unchanged
MIN_UNCHANGED = 0.5
# difference from which a pixel counts as changed, in levels of 255, after brightness and contrast were matched
CHANGED_LEVELS = 30
# smallest correlation of two copies where faint and strong texture are weighed alike. Photographs shrunk to a third or
# strongly blurred reach 0.93, and saved as JPEG of quality 10 0.85. Two faces above one shirt reach 0.84, two products
# of one shape 0.65
MIN_AGREEMENT_EVERYWHERE = 0.85
# texture of fewer levels of 255 counts as noise where faint and strong texture are weighed alike
NOISE_LEVELS = 2.0
# width in pixels of the surroundings in which texture is weighed
SURROUNDINGS = 5.0
# widths in pixels of the blurs by which two copies may differ
BLURS = (1.0, 2.0)


class Match(NamedTuple):
    """How one image lies on another that shows the same picture.

    Attributes:
        matrix: float64 [2, 3], affine map from positions in the first thumbnail to positions in the second; its
            determinant is negative where one is mirrored.
        inliers: number of features that the map carries over.
        agreement: correlation of the aligned thumbnails' fine structure outside changed patches, -1..1.
        changed: share of the common area that the largest changed patch fills, 0..1.
    """

    matrix: np.ndarray
    inliers: int
    agreement: float
    changed: float

    @property
    def is_mirrored(self) -> bool:
        """Whether one image is mirrored."""
        return bool(np.linalg.det(self.matrix[:, :2]) < 0)

    @property
    def is_edited(self) -> bool:
        """Whether a part of the picture was replaced, for example by a drawn mask."""
        return self.changed > EDITED_SHARE

    @property
    def keeps_the_frame(self) -> bool:
        """Whether the corners stay in place, so that the images differ only in size or encoding."""
        moved = np.abs(self.matrix - np.eye(2, 3))
        return bool(moved[:, :2].max() < 0.02 and moved[:, 2].max() < 2)


def match(first: Features, second: Features, *, mirror: bool) -> Match | None:
    """Lay one image on another and compare the area that they have in common.

    Args:
        mirror: whether to suppose that one of them is mirrored.

    Returns:
        None where they do not show one image.
    """
    alignment = align(first, second, mirror=mirror)
    if alignment is None:
        return None
    matrix, inliers = alignment
    found = Match(matrix, inliers, *compare(first.thumbnail, second.thumbnail, matrix))
    if found.is_edited and (found.agreement < MIN_AGREEMENT_BESIDE or inliers < MIN_INLIERS_BESIDE):
        return None
    return found if found.agreement >= MIN_AGREEMENT else None


def align(first: Features, second: Features, *, mirror: bool) -> tuple[np.ndarray, int] | None:
    """Find the affine map that most of the matched features agree on.

    RANSAC (Fischler and Bolles 1981, https://doi.org/10.1145/358669.358692) on mutually nearest descriptors.

    Returns:
        The map, float64 [2, 3], and its number of inliers; None where there are too few.
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
    # several features in one place are one piece of evidence
    inliers = min(len(set(map(tuple, part[kept].round().tolist()))) for part in (source, target))
    stretch = np.linalg.svd(matrix[:, :2], compute_uv=False)
    is_mirrored = np.linalg.det(matrix[:, :2]) < 0
    if inliers < MIN_INLIERS or stretch[0] > MAX_STRETCH or stretch[1] < 1 / MAX_STRETCH or is_mirrored != mirror:
        return None
    return matrix, inliers


def _mutually_nearest(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the pairs of rows that are each other's nearest. RootSIFT descriptors have unit length: a product tells."""
    if not len(first) or not len(second):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    similarity = first.astype(np.float32) @ second.astype(np.float32).T
    forth, back = similarity.argmax(axis=1), similarity.argmax(axis=0)
    rows = np.flatnonzero(back[forth] == np.arange(len(first)))
    return rows, forth[rows]


def compare(first: np.ndarray, second: np.ndarray, matrix: np.ndarray) -> tuple[float, float]:
    """Compare the pixels of two thumbnails, the first laid on the second.

    Args:
        first, second: uint8 [height, width].
        matrix: float64 [2, 3], affine map from positions in the first to positions in the second.

    Returns:
        Correlation of the band-pass filtered pixels outside changed patches, and share of the common area that the
        largest changed patch fills. Both are 0 where the common area is less than 5 % of the second thumbnail.
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


def compare_everywhere(first: np.ndarray, second: np.ndarray, matrix: np.ndarray, side: int) -> float:
    """Correlate the fine structure of two thumbnails in place, faint texture as much as strong edges.

    Pictures of two objects before one background, or in one frame, share their strongest edges. `compare` takes such
    pictures for copies where the objects differ by little.

    Args:
        first, second, matrix: as for `compare`; the map keeps the frame.
        side: longer side in pixels at which to compare: that of the smaller image, which has no detail beyond.
    """
    height, width = second.shape
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    laid = cv2.warpAffine(first, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    x, y = (cv2.resize(part, size, interpolation=cv2.INTER_AREA).astype(np.float32) for part in (laid, second))
    pairs: list[tuple[np.ndarray, np.ndarray]] = [(x, y)]
    for sigma in BLURS:  # one of the two may be blurred
        pairs += [(cv2.GaussianBlur(x, (0, 0), sigma), y), (x, cv2.GaussianBlur(y, (0, 0), sigma))]
    return max(_weighed_correlation(*map(_band_pass, pair)) for pair in pairs)


def _weighed_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Correlate two band-pass filtered images after dividing both by the strength of the texture in each place."""
    x = x * np.clip(y.std() / max(float(x.std()), 1e-6), 0.3, 3)
    strength = cv2.GaussianBlur(x * x + y * y, (0, 0), SURROUNDINGS) / 2 + NOISE_LEVELS**2
    length = np.sqrt((x * x / strength).sum() * (y * y / strength).sum())
    return float((x * y / strength).sum() / length) if length > 1e-3 else 0.0


def _band_pass(image: np.ndarray) -> np.ndarray:
    """Remove noise and shading; edges and texture are left."""
    blurred: np.ndarray = cv2.GaussianBlur(image, (0, 0), 1) - cv2.GaussianBlur(image, (0, 0), 4)
    return blurred


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Compute Pearson's coefficient; 0 where one of the two does not vary."""
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt(np.square(x).sum() * np.square(y).sum()))
    return float((x * y).sum()) / scale if scale > 1e-3 else 0.0


def _match_brightness(image: np.ndarray, reference: np.ndarray, common: np.ndarray) -> np.ndarray:
    """Scale and shift ``image`` to ``reference``, fitted to the 70 % of the common pixels that agree best."""
    x, y = image[common][::4], reference[common][::4]  # a quarter of them is enough
    fits = np.ones(len(x), dtype=bool)
    gain, offset = 1.0, 0.0
    for _ in range(3):
        covariance = np.cov(x[fits], y[fits])
        gain = float(np.clip(covariance[0, 1] / max(covariance[0, 0], 1e-6), 0.3, 3))
        offset = float(np.median(y[fits] - gain * x[fits]))
        residuals = np.abs(gain * x + offset - y)
        fits = residuals <= np.quantile(residuals, 0.7)
    return gain * image + offset
