"""Draws a box and a label at each face of a picture."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from maskcls.reporting.palette import CLASS_COLOURS
from maskcls.reporting.text import encodable

# the label names the class, so that nobody depends on the colours
UNKNOWN = "#6E6E6E"
# height of a label's letters and thickness of lines, as shares of the picture's longer side; and the least, in pixels
LETTERS, LINES = 1 / 55, 1 / 400
LEAST_LETTERS, LEAST_LINES = 13, 2
# luminance from which black letters have more contrast than white ones
BLACK_IS_LEGIBLE = 0.179


class Mark(NamedTuple):
    """What is drawn at a face.

    Attributes:
        box: left, top, width and height in pixels, which may lie outside of the picture; None for the whole picture.
        text: the label.
        colour: index of the class, None for none.
        short: the label where the text would cover other faces or labels; empty for the text.
    """

    box: tuple[float, float, float, float] | None
    text: str
    colour: int | None
    short: str = ""

    def scaled(self, scale: float) -> "Mark":
        """The mark in a picture that was resized."""
        if self.box is None:
            return self
        left, top, width, height = self.box
        return self._replace(box=(scale * left, scale * top, scale * width, scale * height))


class _Area(NamedTuple):
    """A rectangle in a picture, in pixels; right and bottom are the last ones in it."""

    left: int
    top: int
    right: int
    bottom: int

    def overlaps(self, other: "_Area") -> bool:
        return (
            self.left <= other.right
            and other.left <= self.right
            and self.top <= other.bottom
            and other.top <= self.bottom
        )


def draw_marks(picture: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
    """Draw boxes and labels.

    Args:
        picture: RGB uint8 [height, width, 3]; it is not changed.
        marks: what to draw. Labels go where they cover neither faces nor each other, as long as there is room.

    Returns:
        RGB uint8 [height, width, 3].
    """
    drawn = picture.copy()
    longer = max(picture.shape[:2])
    thickness = max(LEAST_LINES, round(LINES * longer))
    boxes = [_box_of(mark, picture) for mark in marks]
    for mark, box in zip(marks, boxes, strict=True):
        cv2.rectangle(drawn, box[:2], box[2:], (255, 255, 255), thickness + 2)  # seen on any background
        cv2.rectangle(drawn, box[:2], box[2:], _colour_of(mark), thickness)
    letters = max(LEAST_LETTERS, round(LETTERS * longer))
    labels: list[_Area] = []
    for mark, box in zip(marks, boxes, strict=True):  # above all boxes
        others = [other for other in boxes if other is not box]
        label, area = _placed(mark, letters, box, picture.shape[:2], others, labels)
        drawn[area.top : area.bottom + 1, area.left : area.right + 1] = label
        labels.append(area)
    return drawn


def _colour_of(mark: Mark) -> tuple[int, int, int]:
    name = UNKNOWN if mark.colour is None else CLASS_COLOURS[mark.colour % len(CLASS_COLOURS)]
    red, green, blue = bytes.fromhex(name[1:])
    return red, green, blue


def _box_of(mark: Mark, picture: np.ndarray) -> _Area:
    """The box within the picture."""
    height, width = picture.shape[:2]
    left, top, box_width, box_height = mark.box or (0, 0, width, height)
    xs, ys = np.clip([left, left + box_width], 0, width - 1), np.clip([top, top + box_height], 0, height - 1)
    return _Area(round(xs[0]), round(ys[0]), round(xs[1]), round(ys[1]))


def _placed(
    mark: Mark, letters: int, box: _Area, shape: tuple[int, int], others: Sequence[_Area], labels: Sequence[_Area]
) -> tuple[np.ndarray, _Area]:
    """Choose the label of a mark and its place. A label that is larger than the picture is cut off.

    Args:
        shape: height and width of the picture.
        others: boxes of the other marks, not to be covered where that can be avoided.
        labels: places of earlier labels, not to be covered even where boxes are.
    """
    short = mark.short or mark.text
    for text, covered in ((mark.text, [*others, *labels]), (short, [*others, *labels]), (short, labels)):
        label = _label(text, letters, _colour_of(mark))[: shape[0], : shape[1]]
        places = _places(box, label.shape[:2], shape)
        for place in places:
            if not any(place.overlaps(area) for area in covered):
                return label, place
    return label, places[0]


def _places(box: _Area, size: tuple[int, int], shape: tuple[int, int]) -> list[_Area]:
    """Where a label may be, the best place first: above its box, below it, or in it."""
    (rows, columns), (height, width) = size, shape
    tops = [top for top in (box.top - rows, box.bottom + 1) if 0 <= top <= height - rows]
    tops.append(min(box.top, height - rows))
    lefts = [max(0, min(left, width - columns)) for left in (box.left, box.right + 1 - columns)]
    return [_Area(left, top, left + columns - 1, top + rows - 1) for top in tops for left in lefts]


@lru_cache(maxsize=512)
def _label(text: str, letters: int, colour: tuple[int, int, int]) -> np.ndarray:
    """Draw a label: RGB uint8, read-only. The labels of a video repeat, so they are kept."""
    from PIL import Image, ImageDraw, ImageFont

    from maskcls.reporting.style import font_file

    text = encodable(text)
    font = ImageFont.truetype(font_file(text), letters)
    left, _, right, _ = font.getbbox(text)
    ascent, descent = font.getmetrics()
    margin = max(2, letters // 4)
    label = Image.new("RGB", (round(right - left) + 2 * margin, ascent + descent + margin), colour)
    ink = (0, 0, 0) if _luminance(colour) > BLACK_IS_LEGIBLE else (255, 255, 255)
    ImageDraw.Draw(label).text((margin - left, margin // 2), text, ink, font=font)
    return np.asarray(label)


def _luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance of a colour, 0..1 (https://www.w3.org/TR/WCAG22/#dfn-relative-luminance)."""
    shares = np.array(colour) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
