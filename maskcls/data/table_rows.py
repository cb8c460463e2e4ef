"""Reads tables of labels: which column is which, and what each row says. No image is looked for here."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from maskcls.config import nearest
from maskcls.data.formats import HEAD_BYTES, described
from maskcls.data.layout import listed, split_of
from maskcls.data.left_out import IMAGE_SUFFIXES
from maskcls.errors import UserError, raise_machine_failure
from maskcls.wording import counted

# names of the columns that are looked for
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
EXPECTED = "expected a CSV file with the columns path and label"
DELIMITERS = ",;\t|"
# endings of the files of spreadsheet programs, which are not text
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")


@dataclass(frozen=True)
class Row:
    """A row of a table; split and group are empty where the table has no such column.

    Attributes:
        line: number of the line in the file that it ends in, from 1.
        path: as written.
        label: name of the class.
        split: train, val or test.
        group: name of the group.
    """

    line: int
    path: str
    label: str
    split: str
    group: str


def require_table(table: Path) -> None:
    """Check that a table is a file.

    Raises:
        UserError: it is not; the message says what it is, or which table may be meant.
    """
    if table.is_file():
        return
    if address := re.search(r"(?:^|/)([A-Za-z][A-Za-z0-9+.-]+:)/+(.*)", str(table)):
        raise UserError(
            f"data.table={address[1]}//{address[2]}: maskcls does not read from addresses; save the table as a file"
        )
    folder = table if table.is_dir() else table.parent
    tables = sorted(path.name for path in folder.glob("*.[ct]sv")) if folder.is_dir() else []
    if table.is_dir():
        such = f", such as {folder / tables[0]}" if tables else ""
        raise UserError(
            f"data.table={table}: is a folder; {EXPECTED}{such}; a folder of class folders is given as data.root"
        )
    raise UserError(f"data.table={table}: no such file; {EXPECTED}{nearest(table.name, tables)}")


def read_rows(table: Path, columns: Mapping[str, str]) -> list[Row]:
    """Read a table, and check that each row has what it needs.

    Args:
        table: as `maskcls.data.table.index_table` takes it.
        columns: names of the columns; those in `COLUMNS` if they are not given.

    Raises:
        UserError: the table cannot be read, lacks a column or a value, or a row has more or fewer cells than columns.
    """
    require_table(table)
    text = _text_of(table)
    lines = _cells(table, text)
    names = next(lines, (0, []))[1]
    while names and not names[-1]:  # spreadsheets write the delimiter of columns that are empty
        names.pop()
    found = _positions(table, names, columns)
    rows = []
    for line, cells in lines:
        where = f"data.table={table}: line {line}"
        while len(cells) > len(names) and not cells[-1]:
            cells.pop()
        if len(cells) != len(names):
            has = f"has {counted(len(cells), 'cell')}, but the first line names {counted(len(names), 'column')}"
            raise UserError(f"{where}: {has}; a cell with a delimiter in it stands in double quotes")
        values = {key: cells[found[key]] if key in found else "" for key in COLUMNS}
        for key, position in found.items():
            if not values[key]:
                raise UserError(f"{where}: the column '{names[position]}' is empty")
        if values["split"]:
            values["split"] = _split(where, values["split"])
        rows.append(Row(line, **values))
    if not rows:
        raise UserError(f"data.table={table}: holds no image")
    return rows


def _text_of(table: Path) -> str:
    """Read a file of text in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        UserError: it cannot be read, is empty, or is something else.
    """
    try:
        content = table.read_bytes()
    except OSError as error:
        raise_machine_failure(error, table)
        raise UserError(f"data.table={table}: cannot be read: {error.strerror}") from None
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if not text.strip():
        raise UserError(f"data.table={table}: is empty; {EXPECTED}")
    if "\0" in text or text.lstrip().startswith(("<", "{", "[")):
        what = described(content[:HEAD_BYTES])
        if table.suffix.lower() in WORKBOOKS:
            raise UserError(f"data.table={table}: is a workbook; save it as CSV in UTF-8 and give that file")
        if what not in ("a CSV table", "a text file", "unknown content"):
            raise UserError(f"data.table={table}: is {what}; {EXPECTED}")
        if "\0" in text:
            raise UserError(
                f"data.table={table}: is not in UTF-8; save it as CSV in UTF-8 (Excel calls this 'CSV UTF-8')"
            )
    return text


def _cells(table: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line and the stripped cells of each row that is not empty.

    Raises:
        UserError: a quote is where none may be.
    """
    header = re.split("[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0]
    delimiter = max(DELIMITERS, key=re.sub('"[^"]*"', "", header).count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    end = 0
    try:
        for cells in reader:
            end = reader.line_num
            cells = [cell.strip() for cell in cells]
            if any(cells):
                yield end, cells
    except csv.Error as error:
        raise UserError(
            f"data.table={table}: line {end + 1}: {error}; a cell that begins with a double quote ends with one, and "
            "quotes within it are doubled"
        ) from None


def _positions(table: Path, names: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Return the position of the column of each key of `COLUMNS` that the table has.

    Raises:
        UserError: a column is missing, or it is not clear which one is meant.
    """
    for key, name in columns.items():
        if key not in COLUMNS:
            raise UserError(f"data.columns: '{key}' is not known; expected {', '.join(COLUMNS)}{nearest(key, COLUMNS)}")
        if name not in names:
            raise UserError(
                f"data.columns: {table} has no column '{name}'; it has {listed(names)}{nearest(name, names)}"
            )
    found = {}
    for key, usual in COLUMNS.items():
        named = [columns[key]] if key in columns else [name for name in names if name.lower() in usual]
        fitting = [position for position, name in enumerate(names) if name in named]
        if len(fitting) > 1:
            raise _ambiguous(table, key, [names[position] for position in fitting], fitting)
        if fitting:
            found[key] = fitting[0]
        elif key in REQUIRED and any(PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES for name in names):
            has = f"its first line must name the columns, as in path,label, but has {listed(names)}"
            raise UserError(f"data.table={table}: no column '{key}': {has}")
        elif key in REQUIRED:
            separators = "; commas, semicolons or tabs separate columns" if len(names) == 1 else ""
            raise UserError(
                f"data.table={table}: no column '{key}'; it has {listed(names) or 'none'}{separators}; "
                f"'data.columns={{{key}: NAME}}' names it"
            )
    return found


def _ambiguous(table: Path, key: str, names: Sequence[str], positions: Sequence[int]) -> UserError:
    """Say that several columns may be the one of a key."""
    if len(set(names)) == 1:
        numbers = " and ".join(str(position + 1) for position in positions)
        return UserError(f"data.table={table}: the columns {numbers} are both named '{names[0]}'; rename all but one")
    best = min(names, key=lambda name: COLUMNS[key].index(name.lower()))
    return UserError(
        f"data.table={table}: the columns {listed(names)} may each be the {key}; say which one is, as in "
        f"'data.columns={{{key}: {best}}}'"
    )


def _split(where: str, name: str) -> str:
    """Return a split's usual name.

    Raises:
        UserError: this is none.
    """
    split = split_of(name)
    if split is None:
        raise UserError(f"{where}: '{name}' is not a split; expected train, val or test")
    return split
