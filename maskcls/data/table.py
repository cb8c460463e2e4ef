"""Data sets whose labels are in a table: a CSV file with the path and the label of each image."""

import csv
import io
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from maskcls.config import nearest
from maskcls.data.groups import Groups, Membership
from maskcls.data.index import ClassMap, Index, index_of
from maskcls.data.layout import listed, plain_path, split_of
from maskcls.data.left_out import MAPPED, NOT_IN_TABLE
from maskcls.data.walk import Listing, list_images
from maskcls.errors import MACHINE_ERRORS, UserError
from maskcls.wording import counted

# names of the columns that are looked for, in this order
COLUMNS = {
    "path": (
        "path",
        "file",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "image",
        "image_path",
        "img",
        "img_path",
    ),
    "label": ("label", "labels", "class", "class_name", "category", "target"),
    "split": ("split", "subset", "set"),
    "group": ("group",),
}
REQUIRED = ("path", "label")


@dataclass(frozen=True)
class _Row:
    """A line of a table; split and group are empty where the table has no such column."""

    line: int
    path: str
    label: str
    split: str
    group: str


def index_table(
    table: Path, root: Path, columns: Mapping[str, str] | None = None, class_map: ClassMap | None = None
) -> tuple[Index, Groups | None]:
    """List the images of a table. Other images below the root are left out.

    Args:
        table: a CSV file in UTF-8, separated by commas, semicolons or tabs, whose first line names the columns.
        root: folder that its paths are relative to.
        columns: names of the columns; those in `COLUMNS` if they are not given.
        class_map: the class of each label; null leaves the images of a label out. Others are classes themselves.

    Returns:
        The images, in the splits of the table or in ``all``, and the group of each image if the table has groups.

    Raises:
        UserError: the table cannot be read, lacks a column or a value, names a file twice or one that does not exist.
    """
    root = plain_path(root)
    rows = _read(table, columns or {})
    labels = {row.label for row in rows}
    for label in class_map or {}:
        if label not in labels:
            raise UserError(f"data.class_map: {table} has no label '{label}'{nearest(label, labels)}")
    listing = list_images(root, ["."])
    paths = _existing(table, root, rows, listing)
    mapping = class_map or {}
    left_out: dict[str, str] = {}
    named: dict[str, list[tuple[str, str]]] = {}
    for row, path in zip(rows, paths, strict=True):
        name = mapping.get(row.label, row.label)
        if name is None:
            left_out[path] = f"image {MAPPED}"
        else:
            named.setdefault(row.split or "all", []).append((path, name))
    if not named:
        raise UserError(f"data.table={table}: holds no image")
    left_out |= _unlisted(table, root, paths, listing)
    groups = {path: Membership(row.group) for row, path in zip(rows, paths, strict=True)}
    order = [split for split in ("train", "val", "test", "all") if split in named]
    index = index_of({split: named[split] for split in order}, root, left_out)
    return index, groups if rows[0].group else None


def _read(table: Path, columns: Mapping[str, str]) -> list[_Row]:
    """Read a table, and check that each line has what it needs."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise UserError(f"data.table={table}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"data.table={table}: is not in UTF-8; save it as CSV in UTF-8") from None
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    try:
        lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        found = _columns(table, [name.strip() for name in lines.fieldnames or []], columns)
        lines.fieldnames = [name.strip() for name in lines.fieldnames or []]
        rows = [
            _Row(
                lines.line_num, **{key: (line.get(found[key]) or "").strip() if key in found else "" for key in COLUMNS}
            )
            for line in lines
        ]
    except csv.Error as error:
        raise UserError(f"data.table={table}: is not a CSV file: {error}") from None
    if not rows:
        raise UserError(f"data.table={table}: holds no image")
    return [_checked(table, row, found) for row in rows]


def _columns(table: Path, names: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Return the name of the column of each key of `COLUMNS` that the table has."""
    for key, name in columns.items():
        if key not in COLUMNS:
            raise UserError(f"data.columns: '{key}' is not known; expected {', '.join(COLUMNS)}{nearest(key, COLUMNS)}")
        if name not in names:
            raise UserError(
                f"data.columns: {table} has no column '{name}'; it has {listed(names)}{nearest(name, names)}"
            )
    found = {key: columns[key] for key in COLUMNS if key in columns}
    for key, usual in COLUMNS.items():
        fitting = [name for one in usual for name in names if name.lower() == one]
        if key not in found and fitting:
            found[key] = fitting[0]
    for key in REQUIRED:
        if key not in found:
            raise UserError(
                f"data.table={table}: no column '{key}'; it has {listed(names) or 'none'}; "
                f"'data.columns={{{key}: NAME}}' names it"
            )
    return found


def _checked(table: Path, row: _Row, columns: Mapping[str, str]) -> _Row:
    """Return a row with the split's usual name.

    Raises:
        UserError: a value is missing, or the split is unknown.
    """
    where = f"data.table={table}: line {row.line}"
    for key in columns:
        if not getattr(row, key):
            raise UserError(f"{where}: the column '{columns[key]}' is empty")
    if "split" not in columns:
        return row
    split = split_of(row.split)
    if split is None:
        raise UserError(f"{where}: '{row.split}' is not a split; expected train, val or test")
    return _Row(row.line, row.path, row.label, split, row.group)


def _existing(table: Path, root: Path, rows: list[_Row], listing: Listing) -> list[str]:
    """Return the path of each row as the listing spells it, or relative to the root.

    Raises:
        UserError: a file does not exist, or is there twice.
    """
    images = set(listing.images["."])
    spelled = {unicodedata.normalize("NFC", path): path for path in images}
    paths = [_relative(root, row.path) for row in rows]
    paths = [path if path in images else spelled.get(unicodedata.normalize("NFC", path), path) for path in paths]
    missing = [path for path in paths if path not in images and not (root / path).is_file()]
    if missing:
        raise UserError(
            f"data.table={table}: {len(missing)} of {counted(len(paths), 'file')} not found in {root}, such as "
            f"{missing[0]}; data.root=FOLDER names the folder that the paths are relative to"
        )
    first: dict[str, int] = {}
    for row, path in zip(rows, paths, strict=True):
        if path in first:
            raise UserError(f"data.table={table}: lines {first[path]} and {row.line} both name {path}")
        first[path] = row.line
    return paths


def _relative(root: Path, path: str) -> str:
    """Return a path of a table with '/', without '..', and relative to the root if it is below it."""
    path = os.path.normpath(path.replace("\\", "/"))
    if os.path.isabs(path) and Path(path).is_relative_to(root):
        path = os.path.relpath(path, root)
    return path.replace(os.sep, "/")


def _unlisted(table: Path, root: Path, paths: list[str], listing: Listing) -> dict[str, str]:
    """Return why other files below the root are left out."""
    known = {*paths, _relative(root, str(table))}
    others = dict.fromkeys((path for path in listing.images["."] if path not in known), NOT_IN_TABLE)
    return {path: reason for path, reason in listing.left_out.items() if path not in known} | others
