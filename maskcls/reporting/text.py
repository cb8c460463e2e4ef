"""Text for terminals: the width of a line, and tables whose columns line up."""

import re
import unicodedata
from collections.abc import Sequence


def display_width(text: str) -> int:
    """Count the columns that a terminal needs for a text. East Asian wide letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def encodable(text: str) -> str:
    """Replace bytes of a file name that are not UTF-8, which can be neither drawn nor written."""
    return text.encode(errors="replace").decode()


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


def slice_title(name: str) -> str:
    """The name of a slice of ``metrics.json`` as people read it: ``side_0_to_63`` is ``smaller than 64 pixels``."""
    if found := re.fullmatch(r"side_(\d+)_to_(\d+)", name):
        low, high = map(int, found.groups())
        return f"{low} to {high} pixels" if low else f"smaller than {high + 1} pixels"
    if found := re.fullmatch(r"side_(\d+)_up", name):
        return f"{found[1]} pixels or larger"
    return name.replace("_", " ")
