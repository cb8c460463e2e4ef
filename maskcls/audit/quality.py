"""Finds images that are dark, bright, blurred or of low contrast, or of an odd size or shape.

An image is named where it is extreme in itself and also stands out from the other images of the data set: X-rays are
dark, and scanned pages bright, all of them.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np

Fault = Literal["dark", "bright", "low_contrast", "blurred", "odd_size", "odd_aspect"]
# smallest standard deviation of a measure over a data set, so that images that are all alike do not stand out
MIN_SPREAD = 0.02
# width in pixels of the blur that `blur` compares with
BLUR_WIDTH = 9


class Look(NamedTuple):
    """What is measured on an image in grey, whose longer side has `SIDE` pixels or less.

    Attributes:
        bright_parts: brightness that one pixel in twenty exceeds, 0..1.
        middle: brightness that half of the pixels in the middle of the image exceed, 0..1.
        contrast: difference between the brightness of the bright and that of the dark parts, 0..1.
        blur: as `blur` returns it, 0..1.
        peak: brightest value of any channel of the image, 0..1.
    """

    bright_parts: float
    middle: float
    contrast: float
    blur: float
    peak: float


class Rule(NamedTuple):
    """When an image is named.

    Attributes:
        measure: name of the measure.
        limit: value that must be passed; 0..1 for measures of `Look`, a difference of logarithms to base 2 for others.
        deviations: number of standard deviations by which it must also differ from the median of the data set.
        direction: 1 where high values are bad, -1 where low ones are, 0 for both.
        extreme: difference from which an image is named however much the others differ; for direction 0 only.
    """

    measure: str
    limit: float
    deviations: float
    direction: int
    extreme: float = np.inf


RULES: Mapping[Fault, Rule] = {
    "dark": Rule("bright_parts", 0.35, 3, -1),
    # the middle: a white background, or a white mask, is no fault of an image
    "bright": Rule("middle", 0.95, 1, 1),
    "low_contrast": Rule("contrast", 0.2, 3, -1),
    "blurred": Rule("blur", 0.55, 3, 1),
    # a quarter or four times the usual side; half or twice the usual ratio of width to height, at most four times
    "odd_size": Rule("size", 2, 3, 0),
    "odd_aspect": Rule("aspect", 1, 3, 0, extreme=2),
}


class Judgement(NamedTuple):
    """An image that stands out.

    Attributes:
        image: its position.
        fault: name of the rule.
        value: what was measured, as people read it: 0..1, a side in pixels, or width divided by height.
        usual: the median of the data set.
        score: how bad it is, 0..1.
    """

    image: int
    fault: Fault
    value: float
    usual: float
    score: float


def look(image: np.ndarray, grey: np.ndarray) -> Look:
    """Measure an image, uint8 [height, width, 3], given also in grey, uint8 [h, w], perhaps shrunk."""
    dark, bright = (np.percentile(grey, [5, 95]) / 255).tolist()
    rows, columns = (slice(length // 4, length - length // 4) for length in grey.shape)
    middle = float(np.median(grey[rows, columns])) / 255
    return Look(bright, middle, bright - dark, blur(grey), int(image.max()) / 255)


def blur(grey: np.ndarray) -> float:
    """Measure how little a grey image, uint8 [height, width], changes by being blurred once more: 0 sharp, 1 blurred.

    Crete et al. 2007, https://doi.org/10.1117/12.702790. The result is that of the more blurred direction.
    """
    values = grey.astype(np.float32)
    found = []
    for axis, size in ((1, (BLUR_WIDTH, 1)), (0, (1, BLUR_WIDTH))):
        before = np.abs(np.diff(values, axis=axis))
        after = np.abs(np.diff(cv2.blur(values, size), axis=axis))
        changes = float(before.sum())
        found.append(1 - float(np.maximum(before - after, 0).sum()) / changes if changes else 0.0)
    return max(found)


def judge(looks: np.ndarray, sizes: np.ndarray, images: Sequence[int]) -> list[Judgement]:
    """Find the images that stand out.

    Args:
        looks: float32 [images, measures], one `Look` each.
        sizes: int64 [images, 2], width and height.
        images: positions of the images to judge: those that can be read and have more than one colour.

    Returns:
        The images of each fault, the worst first. An image that is dark or bright is not called low in contrast, too.
    """
    if not len(images):
        return []
    chosen = np.array(images)
    widths, heights = sizes[chosen].astype(float).T
    values = dict(zip(Look._fields, looks[chosen].T.astype(float), strict=True))
    values |= {"size": np.log2(widths * heights) / 2, "aspect": np.log2(widths / heights)}
    found: list[Judgement] = []
    explained: set[int] = set()
    for fault, rule in RULES.items():
        measured = values[rule.measure]
        shown = np.exp2(measured) if rule.direction == 0 else measured
        usual = float(np.median(shown))
        scores = _scores(measured, rule)
        named = [i for i in np.argsort(-scores, kind="stable") if scores[i] > 0]
        if fault in ("dark", "bright"):
            explained.update(named)
        if fault == "low_contrast":
            named = [i for i in named if i not in explained]
        found += [Judgement(int(chosen[i]), fault, float(shown[i]), usual, float(scores[i])) for i in named]
    return found


def _scores(measured: np.ndarray, rule: Rule) -> np.ndarray:
    """Return how far each value is beyond the limit, as a share of what is possible there; 0 on the good side."""
    middle = np.median(measured)
    # 1.4826 times the median deviation is the standard deviation of a normal distribution
    spread = rule.deviations * max(1.4826 * float(np.median(np.abs(measured - middle))), MIN_SPREAD)
    if rule.direction == 0:
        distance, limit = np.abs(measured - middle), min(max(rule.limit, spread), rule.extreme)
        return np.where(distance > limit, 1 - limit / np.maximum(distance, 1e-9), 0)
    if rule.direction < 0:
        limit = min(rule.limit, middle - spread)
        return np.where(measured < limit, 1 - measured / max(limit, 1e-9), 0)
    limit = max(rule.limit, middle + spread)
    return np.where(measured > limit, (measured - limit) / max(1 - limit, 1e-9), 0)
