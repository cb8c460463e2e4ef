"""Files that appear whole or not at all, and tables that are harmless to a spreadsheet."""

import codecs
import csv
import errno
import io
import json
import os
import signal
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import windows

from maskcls.errors import MachineError
from maskcls.files import (
    add_byte_order_mark,
    append,
    cell,
    remove_unfinished,
    replaced_atomically,
    sync,
    sync_all,
    table,
    without_duplicates,
    write_json,
)
from maskcls.interrupts import Interrupted, listening


def test_content_is_appended_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows"
    with path.open("wb", buffering=0) as file:
        append(file, b"first\n")

        class Full(io.FileIO):
            """Has room for two more bytes, one at a time."""

            room = 2

            def write(self, content: Any) -> int:
                if not self.room:
                    raise OSError(errno.ENOSPC, "No space left on device")
                self.room -= 1
                return super().write(content[:1])

        with Full(path, "ab") as full, pytest.raises(OSError, match="No space left"):
            append(full, b"second\n")
    assert path.read_bytes() == b"first\n"


def test_without_room_for_a_copy_a_table_has_no_byte_order_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("한글\n", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfileobj", full)
        add_byte_order_mark(path)
    assert path.read_bytes() == "한글\n".encode()
    add_byte_order_mark(path)
    assert path.read_bytes() == b"\xef\xbb\xbf" + "한글\n".encode()
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["table.csv"]


def test_a_signal_while_a_file_is_finished_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskcls.files.sync", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with listening(), pytest.raises(Interrupted), replaced_atomically(tmp_path / "a") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "a").read_text() == "whole"


def test_a_file_is_replaced_when_the_block_ends_well() -> None:
    path = Path("file")
    path.write_text("old")
    with replaced_atomically(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(Path().iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_file_stays_as_it_was_when_writing_fails(failure: BaseException) -> None:
    path = Path("file")
    path.write_text("old")

    def write() -> None:
        with replaced_atomically(path) as temporary:
            temporary.write_text("half of the n")
            raise failure

    with pytest.raises(type(failure)):
        write()
    assert path.read_text() == "old"
    assert list(Path().iterdir()) == [path]


def test_json_is_written_as_people_read_it(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"class": "마스크"})
    assert (tmp_path / "file.json").read_text(encoding="utf-8") == '{\n  "class": "마스크"\n}\n'


def test_a_file_name_that_is_not_utf8_survives_json(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"path": "\udcff.png"})
    assert json.loads((tmp_path / "file.json").read_text(encoding="utf-8")) == {"path": "\udcff.png"}


def test_json_holds_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"loss": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file.json", {"loss": float("nan")})
    assert json.loads((tmp_path / "file.json").read_text()) == {"loss": 0.5}
    assert [path.name for path in tmp_path.glob("*.json*")] == ["file.json"]


def is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def refuse_folders(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let folders fail to be flushed to the disk."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if is_folder(descriptor):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_file_system_that_cannot_flush_folders_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_folders(errno.EINVAL, monkeypatch)
    with replaced_atomically(Path("file")) as temporary:
        temporary.write_text("new")
    assert Path("file").read_text() == "new"


def test_a_disk_that_fails_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_folders(errno.EIO, monkeypatch)
    with pytest.raises(OSError, match="Input/output error"), replaced_atomically(Path("file")) as temporary:
        temporary.write_text("new")


def test_a_file_is_on_the_disk_before_it_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        events.append("replace")
        return real(self, target)

    monkeypatch.setattr(os, "fsync", lambda descriptor: events.append("folder" if is_folder(descriptor) else "file"))
    monkeypatch.setattr(Path, "replace", replace)
    with replaced_atomically(Path("file")) as temporary:
        temporary.write_text("new")
    assert events == ["file", "replace", "folder"]


def test_flushing_needs_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sync(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "none")


@pytest.mark.parametrize("has_sync", [True, False])
def test_a_folder_is_flushed_at_once_or_file_by_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_sync: bool
) -> None:
    flushed: list[object] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_size))
    monkeypatch.setattr(os, "sync", lambda: flushed.append("all"))
    if not has_sync:
        monkeypatch.delattr(os, "sync")
    for size, name in enumerate(("a", "in/b"), start=1):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(bytes(size))
    sync_all(tmp_path / "set")
    assert sorted(flushed, key=str) == (["all"] if has_sync else [1, 2])


@pytest.fixture
def _windows(monkeypatch: pytest.MonkeyPatch) -> None:
    windows.pretend(monkeypatch)


@pytest.mark.usefixtures("_windows")
def test_a_file_that_is_read_for_a_moment_is_waited_for() -> None:
    path = Path("file")
    path.write_text("old")
    with path.open() as file:
        closing = threading.Timer(0.2, file.close)
        closing.start()
        with replaced_atomically(path, previous=Path("previous")) as temporary:
            temporary.write_text("new")
    closing.join()
    assert (path.read_text(), Path("previous").read_text()) == ("new", "old")


def write(text: str) -> None:
    with replaced_atomically(Path("file")) as temporary:
        temporary.write_text(text)


@pytest.mark.usefixtures("_windows")
def test_a_file_that_stays_open_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskcls.files.PATIENCE", 0.1)
    write("old")
    with Path("file").open() as file:
        with pytest.raises(MachineError, match=r"^file: cannot be replaced: .*; close the program that has it open$"):
            write("new")
        assert file.read() == "old"
    assert list(Path().iterdir()) == [Path("file")]
    write("new")


@pytest.mark.usefixtures("_windows")
def test_an_unfinished_file_that_a_library_keeps_open_hides_no_error() -> None:
    kept = []

    def fail() -> None:
        with replaced_atomically(Path("file")) as temporary:
            kept.append(temporary.open("w"))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    kept[0].close()
    remove_unfinished(Path())
    assert list(Path().iterdir()) == []


def test_only_what_is_unfinished_is_removed(tmp_path: Path) -> None:
    kept = ["a.npy", ".a.npy", ".tmp", ".tmp1234567", "a.npy.1.tmp"]
    removed = [".a.npy.1.tmp", ".b.npy.99.tmp", ".tmpA1b2C3"]
    for name in (*kept, *removed):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path, "a.npy")
    assert (tmp_path / ".b.npy.99.tmp").exists()
    assert not (tmp_path / ".a.npy.1.tmp").exists()
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(kept)


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


@pytest.mark.parametrize(("text", "has_mark"), [("face.png", False), ("얼굴.png", True)])
def test_a_table_says_that_it_is_utf8_where_that_matters(tmp_path: Path, text: str, *, has_mark: bool) -> None:
    with table(tmp_path / "a.csv") as write:
        write(["path"])
        write([text])
    content = (tmp_path / "a.csv").read_bytes()
    assert content.startswith(codecs.BOM_UTF8) == has_mark
    assert content.decode("utf-8-sig") == f"path\r\n{text}\r\n"


def test_names_may_occur_once() -> None:
    assert without_duplicates([("a", 1), ("b", 2)]) == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match=r"^a name occurs twice$"):
        without_duplicates([("a", 1), ("b", 2), ("a", 1)])


def test_a_byte_order_mark_is_put_before_a_table_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    path.write_text("한글\n", encoding="utf-8")
    windows.pretend(monkeypatch)
    monkeypatch.setattr("maskcls.files.PATIENCE", 0.1)
    add_byte_order_mark(path)
    assert path.read_text(encoding="utf-8-sig") == "한글\n"
    assert path.read_bytes().startswith(codecs.BOM_UTF8)
