"""Data sets whose labels are in a table: a CSV file with the path and the label of each image."""

import os
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from maskcls.config import nearest
from maskcls.data.groups import Groups, Membership
from maskcls.data.index import ClassMap, Index, index_of
from maskcls.data.layout import listed, plain_path
from maskcls.data.left_out import IMAGE_SUFFIXES, MAPPED, NOT_IN_TABLE
from maskcls.data.table_rows import Row, read_rows
from maskcls.data.walk import Listing, as_listed, list_images
from maskcls.errors import UserError
from maskcls.wording import counted


@dataclass(frozen=True)
class _Files:
    """The files that the rows of a table may name.

    Attributes:
        root: folder that paths are relative to.
        images: paths of the images below it.
        spelled: the same by the composed spelling of their names.
    """

    root: Path
    images: frozenset[str]
    spelled: Mapping[str, str]

    @classmethod
    def of(cls, root: Path, images: Sequence[str]) -> "_Files":
        return cls(root, frozenset(images), {_composed(path): path for path in images})

    @cached_property
    def without_ending(self) -> Mapping[str, Sequence[str]]:
        """The images by their paths without the endings."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.images):
            found.setdefault(_composed(str(PurePosixPath(path).with_suffix(""))), []).append(path)
        return found

    def named(self, path: str) -> Sequence[str]:
        """Return the files that a path may mean: itself; else the images of this name with an ending."""
        if path in self.images:
            return [path]
        if spelled := self.spelled.get(_composed(path)):
            return [spelled]
        if os.path.isfile(self.root / path):  # Path.is_file raises an error if a name is too long
            return [path if os.path.isabs(path) else as_listed(self.root, path)]
        has_ending = PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES
        return [] if has_ending else self.without_ending.get(_composed(path), [])


def index_table(
    table: Path, root: Path, columns: Mapping[str, str] | None = None, class_map: ClassMap | None = None
) -> tuple[Index, Groups | None]:
    """List the images of a table. Other images below the root are left out.

    Args:
        table: a CSV file in UTF-8, or in UTF-16 with its mark, separated by commas, semicolons, tabs or bars, whose
            first line names the columns.
        root: folder that its paths are relative to.
        columns: names of the columns; those in `COLUMNS` if they are not given.
        class_map: the class of each label; null leaves the images of a label out. Others are classes themselves.

    Returns:
        The images, in the splits of the table or in ``all``, and the group of each image if the table has groups.

    Raises:
        UserError: the table cannot be read, lacks a column or a value, names a file twice or one that does not exist,
            or it is not clear which column or file is meant.
    """
    root = plain_path(root)
    rows = read_rows(table, columns or {})
    labels = {row.label for row in rows}
    for label in class_map or {}:
        if label not in labels:
            raise UserError(f"data.class_map: {table} has no label '{label}'{nearest(label, labels)}")
    listing = list_images(root, ["."])
    paths = _existing(table, _Files.of(root, listing.images["."]), rows)
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
    index = replace(index, notes=tuple(_note(rows, paths)))
    return index, groups if rows[0].group else None


def _existing(table: Path, files: _Files, rows: Sequence[Row]) -> list[str]:
    """Return the path of each row as the listing spells it, or relative to the root.

    Raises:
        UserError: a file does not exist, is there twice, or it is not clear which one is meant.
    """
    written = [_relative(files.root, row.path) for row in rows]
    named = [files.named(path) for path in written]
    missing = [(row.line, path) for row, path, found in zip(rows, written, named, strict=True) if not found]
    if missing:
        line, path = missing[0]
        raise UserError(
            f"data.table={table}: {len(missing)} of {counted(len(rows), 'file')} not found in {files.root}, such as "
            f"{path} in line {line}; {_remedy(files, [path for _, path in missing], are_all=len(missing) == len(rows))}"
        )
    first: dict[str, int] = {}
    for row, found in zip(rows, named, strict=True):
        if len(found) > 1:
            meant = f"may be {listed(found)}; write its ending"
            raise UserError(f"data.table={table}: line {row.line}: '{row.path}' {meant}")
        if found[0] in first:
            raise UserError(f"data.table={table}: lines {first[found[0]]} and {row.line} both name {found[0]}")
        first[found[0]] = row.line
    return list(first)


def _remedy(files: _Files, missing: Sequence[str], *, are_all: bool) -> str:
    """Say what to do about paths that are not found.

    Args:
        are_all: whether these are all paths of the table.
    """
    parts = missing[0].split("/")
    for number in range(1, len(parts)):
        start = "/".join(parts[:number]) + "/"
        if all(path.startswith(start) and len(files.named(path.removeprefix(start))) == 1 for path in missing):
            return f"without '{start}' at their beginning they are found: take it off in the table"
    if _is_absolute(missing[0]):
        return "these paths are absolute, and data.root counts for relative paths only: make them relative"
    folders = {path[: -len(end)] for path in files.images for end in _ends(path, missing[0])}
    for folder in sorted(folders) if are_all else ():
        if all(len(files.named(f"{folder}/{path}")) == 1 for path in missing):
            return f"they are in a folder of it: type {shlex.quote(f'data.root={files.root / folder}')}"
    if alike := _alike(files, missing[0]):
        return f"there is {listed(alike)}: write folders, endings, upper and lower case as the files have them"
    if not are_all:
        return "add these files, or take their lines out of the table"
    return "data.root=FOLDER names the folder that the paths are relative to"


def _alike(files: _Files, missing: str) -> list[str]:
    """Return the images of a name but for its case and its ending: in the same folder, else in others."""
    wanted = _without_case(missing)
    same_name = [path for path in sorted(files.images) if _without_case(path)[1] == wanted[1]]
    return [path for path in same_name if _without_case(path) == wanted] or same_name


def _without_case(path: str) -> tuple[str, str]:
    """Return a path's folder and its name without its ending, in lower case."""
    folder, _, name = _composed(path).casefold().rpartition("/")
    return folder, PurePosixPath(name).stem


def _ends(path: str, missing: str) -> list[str]:
    """Return the end of a path that is, or may be, a file that was not found; none if it has no such end."""
    whole = [f"/{missing}", f"/{missing}{PurePosixPath(path).suffix}"]
    return [end for end in whole if path.endswith(end)][:1]


def _note(rows: Sequence[Row], paths: Sequence[str]) -> list[str]:
    """Count the rows whose paths lack the ending of the one image of that name."""
    pairs = [(PurePosixPath(row.path.replace("\\", "/")).name, path) for row, path in zip(rows, paths, strict=True)]
    # but for capitals, of which some systems take others
    added = [
        (name, path)
        for name, path in pairs
        if _composed(name).casefold() != _composed(PurePosixPath(path).name).casefold()
    ]
    if not added:
        return []
    without = f"{counted(len(added), 'path')} in data.table without an ending"
    return [f"{without}: each stands for the one image of that name, such as {added[0][0]} for {added[0][1]}"]


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _is_absolute(path: str) -> bool:
    """Whether a path is absolute, here or on Windows."""
    return os.path.isabs(path) or re.match("[A-Za-z]:/", path) is not None


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
