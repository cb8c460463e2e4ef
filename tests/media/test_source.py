"""What ``source=`` names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from indexes import make_files

from maskcls.errors import UserError
from maskcls.media.source import Address, Camera, File, Source, StandardInput, find_source, without_password


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_files(tmp_path / "my photos", "a.jpg", "in/b.mp4", "in/c.png", "notes.md")


class _Terminal:
    closed = False

    def __init__(self, *, is_terminal: bool) -> None:
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize(
    ("typed", "names", "folder"),
    [
        ("", ["a.jpg", "in/b.mp4", "in/c.png"], ""),
        ("a.jpg", ["a.jpg"], ""),
        ("in/b.mp4", ["in/b.mp4"], "in"),
        ("in/*", ["in/b.mp4", "in/c.png"], "in"),
        ("**/*", ["a.jpg", "in/b.mp4", "in/c.png"], ""),
        ("*/*.mp4", ["in/b.mp4"], "in"),
    ],
)
def test_files(photos: Path, typed: str, names: list[str], folder: str) -> None:
    source = find_source(str(photos / typed))
    assert source.items == [File(photos / name) for name in names]
    assert source.folder == photos / folder
    assert source.given == str(photos / typed)
    assert set(source.left_out) == ({"notes.md"} if typed == "" else {f"{photos}/notes.md"} if "**" in typed else set())


@pytest.mark.parametrize(
    ("typed", "item", "shown"),
    [
        ("0", Camera(0), "camera 0"),
        ("12", Camera(12), "camera 12"),
        ("rtsp://cam/live", Address("rtsp://cam/live"), "rtsp://cam/live"),
        ("RTSP://user:p@w/d@cam:8554/x?y=1", Address("rtsp://user:p@w/d@cam:8554/x?y=1"), "rtsp://user:***@cam:8554/x?y=1"),
        ("udp://@239.0.0.1:1234", Address("udp://@239.0.0.1:1234"), "udp://@239.0.0.1:1234"),
        ("tcp://:9000?listen=1", Address("tcp://:9000?listen=1"), "tcp://:9000?listen=1"),
        ("http://[::1]:80/a.mp4", Address("http://[::1]:80/a.mp4"), "http://[::1]:80/a.mp4"),
    ],
)  # fmt: skip
def test_cameras_and_addresses(typed: str, item: Camera | Address, shown: str) -> None:
    source = find_source(typed)
    assert source.items == [item]
    assert item.shown == shown
    assert source == Source(shown if "://" in typed else typed, [item])


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://h/x?user=me&password=secret&z=1", "https://h/x?user=me&password=***&z=1"),
        ("rtsp://h/user=me_password=secret_channel=1", "rtsp://h/user=me_password=***"),
        ("https://user@h/x?TOKEN=ab#c", "https://user@h/x?TOKEN=***#c"),
        ("http://h/x?accessToken=ab&userpwd=cd&loginpas=ef", "http://h/x?accessToken=***&userpwd=***&loginpas=***"),
        ("https://h/x?apikey=ab&X-Amz-Signature=cd", "https://h/x?apikey=***&X-Amz-Signature=***"),
        ("https://h/x?bypass=1&compass=2", "https://h/x?bypass=1&compass=2"),
    ],
)
def test_passwords_are_hidden(address: str, shown: str) -> None:
    assert without_password(address) == shown


def test_a_file_with_a_number_as_its_name_is_no_camera(monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    make_files(photos / "7", "a.jpg")
    monkeypatch.chdir(photos)
    assert find_source("7").items == [File(Path("7/a.jpg"))]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Terminal(is_terminal=False))
    assert find_source("-") == Source("-", [StandardInput()])
    assert StandardInput().shown == "standard input"
    for nothing in (_Terminal(is_terminal=True), None):
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(UserError, match="source=-: nothing is piped in; expected the bytes"):
            find_source("-")


def test_a_list_of_paths(photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    lines = ["\ufeff# faces", "a.jpg", "", "  in/b.mp4  ", "gone.png", "~/x.png", "a.jpg", f"{photos}/in/c.png"]
    (photos / "list.TXT").write_text("\r\n".join(lines), encoding="utf-8")
    paths = [photos / "a.jpg", photos / "in/b.mp4", photos / "gone.png", tmp_path / "x.png", photos / "in/c.png"]
    source = find_source(str(photos / "list.TXT"))
    assert source.items == [File(path) for path in paths]
    assert source.folder == tmp_path


def test_files_on_several_drives_have_no_folder_in_common(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def commonpath(paths: object) -> str:
        raise ValueError("Paths don't have the same drive")

    (photos / "list.txt").write_text("a.jpg\nin/b.mp4", encoding="utf-8")
    monkeypatch.setattr(os.path, "commonpath", commonpath)
    source = find_source(str(photos / "list.txt"))
    assert (len(source.items), source.folder) == (2, None)


def test_names_in_a_list_need_not_be_utf_8(photos: Path) -> None:
    (photos / "list.txt").write_bytes(b"a.jpg\n\xff.jpg\n")
    assert [str(item.path) for item in find_source(f"{photos}/list.txt").items if isinstance(item, File)] == [
        f"{photos}/a.jpg",
        f"{photos}/\udcff.jpg",
    ]


def test_a_picture_may_be_called_txt(photos: Path) -> None:
    (photos / "odd.txt").write_bytes(b"\xff\xd8\xff")
    assert find_source(f"{photos}/odd.txt").items == [File(photos / "odd.txt")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# nothing\n\n", "it names no file; expected the path of a picture or a video in each line"),
        (b"x" * 1000 + b".jpg", "none of its 1 file exists, such as ..." + "x" * 193 + ".jpg; expected the path of a "
        "picture or a video in each line"),
        (b"x.jpg\ny.jpg", "none of its 2 files exists, such as {}/x.jpg; expected the path of a picture or a video in "
        "each line"),
        ("a.jpg\n".encode("utf-16"), "not a text file in UTF-8; expected a path in each line"),
    ],
)  # fmt: skip
def test_a_list_without_files_is_refused(photos: Path, content: bytes, message: str) -> None:
    path = photos / "list.txt"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        find_source(str(path))
    assert str(caught.value) == f"source={path}: {message.format(photos)}"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "ftp://u:pw@h/a.mp4",
            "ftp://u:***@h/a.mp4: maskcls does not read from ftp; expected one of rtsp, rtsps, http, https, udp, tcp, "
            "rtmp",
        ),
        ("rtsp://", "rtsp://: no address; expected one such as rtsp://192.168.1.20/video"),
        ("12345678", "12345678: no such file, and no image or video file of this pattern; {}"),
        ("http://[", "http://[: no address; expected one such as http://192.168.1.20/video"),
        (
            "nowhere.mp4",
            "nowhere.mp4: no such file, and no image or video file of this pattern; {}",
        ),
    ],
)
def test_what_is_no_source_is_refused(typed: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        find_source(typed)
    expected = (
        "expected a picture, a video, a folder, a pattern such as photos/*.jpg, a text file of paths, the number of a "
        "camera, an address such as rtsp://192.168.1.20/video, or - for standard input"
    )
    assert str(caught.value) == f"source={message.format(expected)}"


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, maskcls.media.source; print([n for n in ('av', 'cv2', 'torch', 'numpy') if n in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"
