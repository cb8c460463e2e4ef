"""Text for terminals."""

import pytest

from maskcls.reporting.text import aligned, display_width, slice_title


@pytest.mark.parametrize(("text", "width"), [("", 0), ("abc", 3), ("한글", 4), ("é", 1), ("a한", 3)])
def test_wide_letters_take_two_columns(text: str, width: int) -> None:
    assert display_width(text) == width


def test_columns_line_up_whatever_the_letters() -> None:
    assert aligned([("name", "value"), ("한글", "1"), ("abcdef", "22")]) == [
        "  name    value",
        "  한글    1",
        "  abcdef  22",
    ]


def test_a_column_that_is_empty_below_its_heading_is_left_out() -> None:
    rows = [("a", "nothing", "b"), ("1", "", "2"), ("", "", "3")]
    assert aligned(rows) == ["  a  b", "  1  2", "     3"]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("side_0_to_63", "smaller than 64 pixels"),
        ("side_64_to_127", "64 to 127 pixels"),
        ("side_224_up", "224 pixels or larger"),
        ("no_face_found", "no face found"),
    ],
)
def test_slices_have_titles_for_people(name: str, title: str) -> None:
    assert slice_title(name) == title
