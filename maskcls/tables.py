"""Tables, as CSV files that a spreadsheet can open without running what a file's name says."""

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from maskcls.run import replaced_atomically

# what a spreadsheet takes for the beginning of a formula (https://owasp.org/www-community/attacks/CSV_Injection); the
# quote is what tells it that it is none
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: object) -> object:
    """A value as a table holds it: bytes of a name that are no UTF-8 as escapes, a formula behind a quote."""
    if not isinstance(value, str):
        return value
    text = value.encode(errors="backslashreplace").decode()
    return f"'{text}" if text.startswith(FORMULAS) else text


@contextmanager
def table(path: Path) -> Iterator[Callable[[Iterable[object]], None]]:
    """Write a table, atomically. Yields what writes a row."""
    with replaced_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        yield lambda row: writer.writerow([cell(value) for value in row])
