"""Text for terminals."""

import pytest

from maskcls.reporting.text import aligned, display_width


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
