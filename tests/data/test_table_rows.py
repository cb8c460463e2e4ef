"""Tables of labels: which column is which, and what is refused in one line that says where and what to do."""

from pathlib import Path

import pytest

from maskcls.data.table_rows import Row, read_rows, require_table
from maskcls.errors import UserError

NO_TEXT = "is not in UTF-8; save it as CSV in UTF-8 (Excel calls this 'CSV UTF-8')"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


def write(table: Path, *lines: str, end: str = "\n", encoding: str = "utf-8") -> Path:
    table.write_bytes("".join(f"{line}{end}" for line in lines).encode(encoding))
    return table


def refusal(table: Path, columns: dict[str, str] | None = None) -> str:
    """What is said about a table, without where it is."""
    with pytest.raises(UserError) as caught:
        read_rows(table, columns or {})
    return str(caught.value).replace(str(table), "TABLE").replace(str(table.parent), "FOLDER")


def test_rows_are_read_with_their_lines(table: Path) -> None:
    write(table, "split,path,group,label", "valid,1.png,g,a", ", ,,", '"TRAIN"," 2.png ",h,"b', 'c"')
    assert read_rows(table, {}) == [Row(2, "1.png", "a", "val", "g"), Row(5, "2.png", "b\nc", "train", "h")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_tables_of_every_spreadsheet_are_read(table: Path, delimiter: str, encoding: str, end: str) -> None:
    cells = [("", "", ""), ('"File, Name"', " Class ", ""), ('"마/1.png"', '"it\'s, a ""cat"""', ""), ("4.png", "b")]
    write(table, *(delimiter.join(row) if any(row) else "" for row in cells), end=end, encoding=encoding)
    rows = read_rows(table, {"path": "File, Name"})
    assert [(row.path, row.label) for row in rows] == [("마/1.png", 'it\'s, a "cat"'), ("4.png", "b")]


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("image,category", {}),
        ("filename,label", {}),
        ("Path,Class", {}),
        (",id,breed,", {"path": "id", "label": "breed"}),
        ("file,id,label,class", {"path": "id", "label": "class"}),
        ("a,a,path,label", {}),
    ],
)
def test_columns_have_usual_names_or_are_named(table: Path, header: str, columns: dict[str, str]) -> None:
    cells = dict.fromkeys(("id", "path", "image", "filename"), "1.png")
    wanted = {columns["label"]: "cat"} if columns else dict.fromkeys(("category", "class", "label"), "cat")
    write(table, header, ",".join((cells | wanted).get(name.lower(), "0") for name in header.rstrip(",").split(",")))
    assert read_rows(table, columns) == [Row(2, "1.png", "cat", "", "")]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "is empty; expected a CSV file with the columns path and label"),
        (("", " "), "is empty; expected a CSV file with the columns path and label"),
        (("path,label",), "holds no image"),
        ((",", "", " "), "no column 'path'; it has none; 'data.columns={path: NAME}' names it"),
        (
            ("a/1.png,cat", "a/2.png,dog"),
            "no column 'path': its first line must name the columns, as in path,label, but has 'a/1.png', 'cat'",
        ),
        (("file,breed", "4.png,a"), "no column 'label'; it has 'file', 'breed'; 'data.columns={label: NAME}' names it"),
        (
            ("path label", "4.png a"),
            "no column 'path'; it has 'path label'; commas, semicolons or tabs separate columns; "
            "'data.columns={path: NAME}' names it",
        ),
        (("path,label,label", "4.png,a,b"), "the columns 2 and 3 are both named 'label'; rename all but one"),
        (
            ("file,path,label", "4.png,4.png,a"),
            "the columns 'file', 'path' may each be the path; say which one is, as in 'data.columns={path: path}'",
        ),
        (
            ("path,Class,label", "4.png,4,a"),
            "the columns 'Class', 'label' may each be the label; say which one is, as in 'data.columns={label: label}'",
        ),
        (("path,label", "4.png,"), "line 2: the column 'label' is empty"),
        (
            ("path,label", "4.png"),
            "line 2: has 1 cell, but the first line names 2 columns; a cell with a delimiter in it stands in double "
            "quotes",
        ),
        (
            ("path,label", "1.png,a", "a, b.png,a"),
            "line 3: has 3 cells, but the first line names 2 columns; a cell with a delimiter in it stands in double "
            "quotes",
        ),
        (("path,label,group", "4.png,a,g", "a/1.png,a, "), "line 3: the column 'group' is empty"),
        (("path,label,split", "4.png,a,"), "line 2: the column 'split' is empty"),
        (("path,label,split", "4.png,a,fold1"), "line 2: 'fold1' is not a split; expected train, val or test"),
        (
            ("path,label", "1.png,b", 'a.png,"cat', "b.png,c"),
            "line 3: unexpected end of data; a cell that begins with a double quote ends with one, and quotes within "
            "it are doubled",
        ),
        (('[{"path": "1.png"}]',), "is a JSON file; expected a CSV file with the columns path and label"),
        (("<html>",), "is an HTML page; expected a CSV file with the columns path and label"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table: Path, lines: tuple[str, ...], message: str) -> None:
    assert refusal(write(table, *lines)) == f"data.table=TABLE: {message}"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pth": "a"}, "data.columns: 'pth' is not known; expected path, label, split, group; did you mean 'path'?"),
        ({"path": "pat"}, "data.columns: TABLE has no column 'pat'; it has 'path', 'label'; did you mean 'path'?"),
    ],
)
def test_columns_that_are_none_are_refused(table: Path, columns: dict[str, str], message: str) -> None:
    assert refusal(write(table, "path,label", "4.png,a"), columns) == message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "path,label\n4.png,마스크\n".encode("cp949"),
            NO_TEXT,
        ),
        (
            "a.csv",
            "path,label\n4.png,a\n".encode("utf-16-le"),
            NO_TEXT,
        ),
        ("a.csv", b"path,label\xff\n", NO_TEXT),
        ("a.xlsx", b"PK\x03\x04\x14\0\x06\0", "is a workbook; save it as CSV in UTF-8 and give that file"),
        ("a.csv", b"PK\x03\x04\x14\0\x06\0", "is a ZIP archive; expected a CSV file with the columns path and label"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0", "is a PNG image; expected a CSV file with the columns path and label"),
    ],
)
def test_what_is_no_text_is_called_by_its_name(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name) == f"data.table=TABLE: {message}"


def test_a_table_that_may_not_be_read_is_refused(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", closed)
    assert refusal(write(table, "path,label")) == "data.table=TABLE: cannot be read: Permission denied"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    expected = "expected a CSV file with the columns path and label"
    folder = "a folder of class folders is given as data.root"
    assert refusal(tmp_path / "label.csv") == f"data.table=TABLE: no such file; {expected}"
    assert refusal(tmp_path) == f"data.table=TABLE: is a folder; {expected}; {folder}"
    write(tmp_path / "labels.csv", "path,label", "1.png,a")
    meant = "; did you mean 'labels.csv'?"
    assert refusal(tmp_path / "label.csv") == f"data.table=TABLE: no such file; {expected}{meant}"
    assert refusal(tmp_path) == f"data.table=TABLE: is a folder; {expected}, such as TABLE/labels.csv; {folder}"
    with pytest.raises(UserError) as caught:
        require_table(Path("https://host.org/a/labels.csv").absolute())
    said = "maskcls does not read from addresses; save the table as a file"
    assert str(caught.value) == f"data.table=https://host.org/a/labels.csv: {said}"
