"""Boxes and labels at faces: seen on any background, within the picture, and not told apart by colour alone."""

import logging

import numpy as np
import pytest

from maskcls.reporting import boxes, style
from maskcls.reporting.boxes import Mark, draw_marks
from maskcls.reporting.palette import CLASS_COLOURS

BOX = (60, 80, 50, 40)


def plain(height: int = 200, width: int = 300, shade: int = 128) -> np.ndarray:
    return np.full((height, width, 3), shade, np.uint8)


def colour(number: int) -> list[int]:
    return list(bytes.fromhex(CLASS_COLOURS[number][1:]))


def changed(picture: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels that were drawn."""
    rows, columns = np.nonzero((picture != drawn).any(axis=2))
    return rows, columns


def test_a_box_has_the_colour_of_its_class_and_the_picture_is_left_as_it_was() -> None:
    picture = plain()
    drawn = draw_marks(picture, [Mark(BOX, "WithMask 98%", 1)])
    assert (picture == 128).all()
    for row, column in ((80, 85), (120, 85), (100, 60), (100, 110)):  # the middle of each side
        assert drawn[row, column].tolist() == colour(1)
    assert drawn[100, 85].tolist() == [128, 128, 128]  # nothing is drawn on the face


@pytest.mark.parametrize("shade", [0, 255, *range(0, 256, 51)])
def test_a_box_stands_out_from_any_background(shade: int) -> None:
    drawn = draw_marks(plain(shade=shade), [Mark(BOX, "x", 0)]).astype(int)
    around = drawn[100, 50:70]  # across the left side
    assert np.abs(around - shade).max() >= 100


@pytest.mark.parametrize("number", range(len(CLASS_COLOURS)))
def test_letters_stand_out_from_their_label(number: int) -> None:
    """At least 4.5 to 1, as WCAG 2.2 asks of small text."""
    label = draw_marks(plain(), [Mark(BOX, "MMMM", number)])[62:76, 62:100].reshape(-1, 3)
    light = np.where(label / 255 <= 0.04045, label / 255 / 12.92, ((label / 255 + 0.055) / 1.055) ** 2.4)
    luminance = light @ (0.2126, 0.7152, 0.0722)
    assert (luminance.max() + 0.05) / (luminance.min() + 0.05) >= 4.5


def test_the_label_is_above_its_box() -> None:
    picture = plain()
    rows, columns = changed(picture, draw_marks(picture, [Mark(BOX, "WithoutMask 51%", 0)]))
    assert 55 < rows.min() < 70
    assert columns.min() >= 58  # it begins where the box does


@pytest.mark.parametrize(
    "box",
    [
        (100, 0, 50, 40), (-20, -20, 60, 60), (280, 180, 60, 60), (-50, 50, 500, 20), (0, 0, 300, 200), None,
        (-500, -500, 10, 10), (295, 100, 2, 2),
    ],
)  # fmt: skip
def test_boxes_at_the_border_are_drawn_within_the_picture(box: tuple[float, float, float, float] | None) -> None:
    picture = plain()
    drawn = draw_marks(picture, [Mark(box, "WithMask 98%", 0)])
    assert drawn.shape == picture.shape
    label = (drawn == colour(0)).all(axis=2)
    assert label.any(axis=1).sum() >= 13  # the whole height of the label is seen


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2), (5, 5)])
def test_tiny_pictures_can_be_drawn_on(shape: tuple[int, int]) -> None:
    drawn = draw_marks(plain(*shape), [Mark(None, "WithMask 98%", 0)])
    assert drawn.shape == (*shape, 3)


def test_the_text_tells_the_classes_apart_without_colour() -> None:
    one, other = (draw_marks(plain(), [Mark(BOX, text, 0)]) for text in ("WithMask", "WithoutMask"))
    assert (one != other).any()


def test_a_mark_without_a_class_is_grey() -> None:
    drawn = draw_marks(plain(), [Mark(None, "no face", None)])
    assert len(set(drawn[100, 0].tolist())) == 1


def test_a_label_makes_way_for_the_box_of_another() -> None:
    above = (60, 40, 50, 36)  # the label would be in this box
    drawn = draw_marks(plain(), [Mark(BOX, "WithMask", 0), Mark(above, "x", 1)])
    rows, _ = np.nonzero((drawn == colour(0)).all(axis=2))
    assert rows.min() >= 78  # its box begins at 80
    assert rows.max() > 130  # its label is below


def test_labels_in_a_crowd_are_numbers_and_none_covers_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def label(text: str, letters: int, colour: tuple[int, int, int]) -> np.ndarray:
        number = int(text.split()[0])
        return np.full((letters + 4, 8 * len(text), 3), 100 + number, np.uint8)

    monkeypatch.setattr(boxes, "_label", label)
    faces = [(10 + 40 * column, 20 + 45 * row, 34, 40) for row in range(4) for column in range(7)]
    marks = [Mark(face, f"{number} WithMask 98%", 0, str(number)) for number, face in enumerate(faces, start=1)]
    drawn = draw_marks(plain(shade=0), marks)
    whole = []
    for number, mark in enumerate(marks, start=1):
        letters = (drawn == 100 + number).all(axis=2).sum() / (17 * 8)
        assert letters in (len(mark.text), len(mark.short))  # all of the label is seen
        whole.append(letters == len(mark.text))
    assert sum(whole) <= 3  # above the uppermost faces


def test_a_label_without_room_elsewhere_is_in_its_box() -> None:
    face = (20, 5, 150, 190)
    picture = plain()
    drawn = draw_marks(picture, [Mark(face, "WithMask", 0), Mark((172, 0, 120, 200), "x", 1)])
    rows, columns = np.nonzero((drawn == colour(0)).all(axis=2))
    inner = (drawn == colour(0)).all(axis=2)[8:22, 30:80]
    assert inner.mean() > 0.5
    assert columns.max() <= 172
    assert rows.max() <= 197


def test_a_mark_is_scaled_with_its_picture() -> None:
    assert Mark((10, 20, 30, 40), "x", 0).scaled(0.5).box == (5, 10, 15, 20)
    assert Mark(None, "x", 0).scaled(2) == Mark(None, "x", 0)


def test_letters_without_a_font_are_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "_told", [])
    style.font_file.cache_clear()
    caplog.set_level(logging.WARNING)
    for text in ("\U000f0000", "\U000f0001"):
        draw_marks(plain(), [Mark(BOX, text, 0)])
    assert len([line for line in caplog.messages if line.startswith("no installed font")]) == 1


def test_a_name_that_is_not_utf_8_is_drawn() -> None:
    drawn = draw_marks(plain(), [Mark(BOX, "a\udcffb", 0)])
    assert (drawn == colour(0)).all(axis=2).any()
