"""Files that appear whole or not at all, and tables that a spreadsheet can open safely."""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskcls.errors import MACHINE_ERRORS


@contextmanager
def replaced_atomically(path: Path) -> Iterator[Path]:
    """Give a temporary path to write; move it to ``path`` when the block ends well, remove it when it does not.

    A reader of ``path`` sees the old file or the new one, never a part of either, also after a loss of power.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def sync(path: Path) -> None:
    """Make what was written into a file last, also after a loss of power."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_all() -> None:
    """Make last what was written into many files: a folder that appears whole is to be whole."""
    if hasattr(os, "sync"):  # Windows has none
        os.sync()


def remove_unfinished(folder: Path, name: str = "*") -> None:
    """Remove what processes that were killed had begun to write in a folder; nobody else may be writing there."""
    for path in folder.glob(f".{name}.*.tmp"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a renaming in a folder last."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        # else a file system that cannot
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` to ``path``, atomically."""
    with replaced_atomically(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        # bytes of a file's name that are not UTF-8 become JSON's own escapes
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


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
