"""Reads the CSV files that tests check."""

import csv
from pathlib import Path


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, each by the names of its columns."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))
