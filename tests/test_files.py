"""Tables: atomic, and harmless to a spreadsheet."""

import csv
from pathlib import Path

import pytest

from maskcls.files import cell, table


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a/1.png", "a/1.png"),
        ('=HYPERLINK("http://x")/1.png', '\'=HYPERLINK("http://x")/1.png'),
        ("+1", "'+1"),
        ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("'quoted'", "'quoted'"),
        ("", ""),
        ("\udcff.png", "\\udcff.png"),
        (-1.5, -1.5),
        (7, 7),
    ],
)
def test_a_cell_is_no_formula(value: object, written: object) -> None:
    assert cell(value) == written


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = [["path", "n"], ['a,b\n"c".png', "1"], ["=1", "-2"]]
    with table(tmp_path / "a.csv") as write:
        for row in rows:
            write(row)
        assert not (tmp_path / "a.csv").exists()
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["path", "n"], ['a,b\n"c".png', "1"], ["'=1", "'-2"]]


def test_a_table_that_is_not_finished_is_none(tmp_path: Path) -> None:
    def write_half() -> None:
        with table(tmp_path / "a.csv") as write:
            write(["path"])
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_half()
    assert not list(tmp_path.glob("*.csv*"))
