"""Files that appear whole or not at all, JSON without ambiguities, and tables that a spreadsheet can open safely."""

import codecs
import csv
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any

from maskcls.errors import MachineError, raise_machine_failure
from maskcls.interrupts import deferred

# seconds for which a file that another program has open is waited for, and between two tries
PATIENCE, PAUSE = 5.0, 0.05


@contextmanager
def replaced_atomically(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path to write to. Move it to ``path`` if the block succeeds, remove it if not.

    A reader of ``path`` sees the old file or the whole new one, even after a loss of power. The old one becomes
    ``previous``, if that is given.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with deferred():  # what is finished is kept
            sync(temporary)
            if previous is not None and path.exists():
                with replaced_atomically(previous) as older:
                    _link(path, older)
            move(temporary, path)
    finally:
        with suppress(PermissionError):  # Windows removes no file that is open; this one is not worth hiding an error
            temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def move(source: Path, target: Path) -> None:
    """Rename a file, which takes the place of an older one, or a folder.

    Windows refuses this while a program reads either of them: a virus scanner does for a moment, a spreadsheet for as
    long as it shows the file.

    Raises:
        MachineError: the system refuses it for `PATIENCE` seconds.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            source.replace(target)
            return
        except PermissionError as error:
            if time.monotonic() >= deadline:
                advice = "close the program that has it open"
                raise MachineError(f"{target}: cannot be replaced: {error.strerror}; {advice}") from None
        time.sleep(PAUSE)


def _link(path: Path, name: Path) -> None:
    try:
        name.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copyfile(path, name)


def sync(path: Path) -> None:
    """Flush a file to the disk, so that it survives a loss of power."""
    with path.open("r+b") as file:  # Windows flushes no file that was opened to be read
        os.fsync(file.fileno())


def sync_all(folder: Path) -> None:
    """Flush a folder of many files to the disk, so that it survives a loss of power."""
    if hasattr(os, "sync"):
        os.sync()
        return
    for path in folder.rglob("*"):  # Windows flushes single files only
        if path.is_file():
            sync(path)


def remove_unfinished(folder: Path, name: str = "*") -> None:
    """Remove unfinished files of killed processes from a folder. No other process may be writing there."""
    # the second are safetensors' own
    for path in (*folder.glob(f".{name}.*.tmp"), *folder.glob(".tmp??????")):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Flush a folder's list of files to the disk, so that a renaming survives a loss of power."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise_machine_failure(error, folder)
        # other errors: a file system that cannot do this
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` to ``path``, atomically."""
    with replaced_atomically(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        # bytes of a file name that are not UTF-8 become JSON's own escapes
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object from its members, for `json.loads`.

    Raises:
        ValueError: if two members have one name: programs would read such a file differently.
    """
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name occurs twice")
    return members


# to a spreadsheet, text that starts so is a formula (https://owasp.org/www-community/attacks/CSV_Injection); a quote in
# front of it prevents that
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: object) -> object:
    """Prepare a value for a table: escape bytes that are not UTF-8, put a quote in front of a formula."""
    if not isinstance(value, str):
        return value
    text = value.encode(errors="backslashreplace").decode()
    return f"'{text}" if text.startswith(FORMULAS) else text


@contextmanager
def table(path: Path) -> Iterator[Callable[[Iterable[object]], None]]:
    """Write a table, atomically. Yields a function that writes a row.

    A table with other letters than ASCII's begins with a byte-order mark, without which Excel garbles them.
    """
    with replaced_atomically(path) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            yield lambda row: writer.writerow([cell(value) for value in row])
        add_byte_order_mark(temporary)


def add_byte_order_mark(path: Path) -> None:
    """Put a byte-order mark before a table with other letters than ASCII's, without which Excel garbles them.

    A copy is made, which takes room on the disk. Without room, the table stays as it is. No signal interrupts this.
    """
    with path.open("rb") as file:
        if all(part.isascii() for part in iter(partial(file.read, 2**20), b"")):
            return
    with (
        deferred(),
        suppress(OSError),
        replaced_atomically(path) as marked,  # first: Windows needs both files closed when one takes the other's place
        path.open("rb") as file,
        marked.open("wb") as copy,
    ):
        copy.write(codecs.BOM_UTF8)
        shutil.copyfileobj(file, copy)


def append(file: FileIO, content: bytes) -> None:
    """Append all of the content to a file; nothing of it if the disk is full."""
    place = file.tell()
    try:
        while content:
            content = content[file.write(content) :]
    except OSError:
        file.truncate(place)
        raise
