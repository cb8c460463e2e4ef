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
    """

    box: tuple[float, float, float, float] | None
    text: str
    colour: int | None


def draw_marks(picture: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
    """Draw boxes and labels.

    Args:
        picture: RGB uint8 [height, width, 3]; it is not changed.
        marks: what to draw. Later ones cover earlier ones.

    Returns:
        RGB uint8 [height, width, 3].
    """
    drawn = picture.copy()
    longer = max(picture.shape[:2])
    thickness = max(LEAST_LINES, round(LINES * longer))
    for mark in marks:
        colour = _colour_of(mark)
        left, top, right, bottom = _corners(mark, drawn)
        cv2.rectangle(drawn, (left, top), (right, bottom), (255, 255, 255), thickness + 2)  # seen on any background
        cv2.rectangle(drawn, (left, top), (right, bottom), colour, thickness)
    letters = max(LEAST_LETTERS, round(LETTERS * longer))
    for mark in marks:  # above all boxes
        _paste_label(drawn, _label(mark.text, letters, _colour_of(mark)), _corners(mark, drawn))
    return drawn


def _colour_of(mark: Mark) -> tuple[int, int, int]:
    name = UNKNOWN if mark.colour is None else CLASS_COLOURS[mark.colour % len(CLASS_COLOURS)]
    red, green, blue = bytes.fromhex(name[1:])
    return red, green, blue


def _corners(mark: Mark, picture: np.ndarray) -> tuple[int, int, int, int]:
    """The box as left, top, right and bottom within the picture."""
    height, width = picture.shape[:2]
    left, top, box_width, box_height = mark.box or (0, 0, width, height)
    xs, ys = np.clip([left, left + box_width], 0, width - 1), np.clip([top, top + box_height], 0, height - 1)
    return round(xs[0]), round(ys[0]), round(xs[1]), round(ys[1])


def _paste_label(picture: np.ndarray, label: np.ndarray, corners: tuple[int, int, int, int]) -> None:
    """Put a label above a box; below it, or into it, where there is no room. A label that is too wide is cut off."""
    height, width = picture.shape[:2]
    label = label[:height, :width]
    rows, columns = label.shape[:2]
    left, top, _, bottom = corners
    places = (top - rows, bottom + 1, top)
    y = next((place for place in places if 0 <= place <= height - rows), height - rows)
    x = max(0, min(left, width - columns))
    picture[y : y + rows, x : x + columns] = label


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
