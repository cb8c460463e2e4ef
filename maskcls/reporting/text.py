"""Text for terminals: the width of a line, and tables whose columns line up."""

import unicodedata
from collections.abc import Sequence


def display_width(text: str) -> int:
    """Count the columns that a terminal needs for a text. East Asian wide letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Format a table as indented lines with left-aligned columns.

    Args:
        rows: cells; the first row is the heading. A column without any text below its heading is left out.
    """
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(display_width, column)) for column in columns]
    padded = [
        [cell + " " * (width - display_width(cell)) for cell in column]
        for column, width in zip(columns, widths, strict=True)
    ]
    return [f"  {'  '.join(cells)}".rstrip() for cells in zip(*padded, strict=True)]
