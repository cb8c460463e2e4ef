"""Listing files: by content, through links, each file once, and with a reason for whatever is left out."""

import json
import os
import socket
import unicodedata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from images import write_dataset
from indexes import make_files
from tables import read_table

from maskcls import cli
from maskcls.data import walk
from maskcls.data.walk import as_listed, find_images, list_images, subfolders
from maskcls.errors import UserError

JPEG = cv2.imencode(".jpg", np.zeros((8, 8, 3), dtype=np.uint8))[1].tobytes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder."""
    return make_files(tmp_path, "set/") / "set"


def write(folder: Path, **contents: bytes) -> Path:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def test_the_content_decides_where_the_ending_does_not(root: Path) -> None:
    make_files(root, "a.jpg", "b.avif", "c.JFIF", "d.heic", "page.jpg")
    write(root, no_ending=JPEG, empty=b"", text=b"words", archive=b"PK\x03\x04....")
    for name in ("g.jpg_large", "h.jpg.bak", "사진.사진"):
        (root / name).write_bytes(JPEG)
    listing = list_images(root, ["."])
    assert listing.images == {
        ".": ["a.jpg", "b.avif", "c.JFIF", "d.heic", "g.jpg_large", "h.jpg.bak", "no_ending", "page.jpg", "사진.사진"]
    }
    assert listing.left_out == {
        "archive": "not an image: a ZIP archive",
        "empty": "not an image: empty",
        "text": "not an image: a text file",
    }


def test_each_folder_that_is_asked_for_has_its_own_images(root: Path) -> None:
    make_files(root, "A/1.png", "A/in/2.png", "B/3.png", "C/4.png", "5.png")
    assert list_images(root, ["A", "B"]).images == {"A": ["A/1.png", "A/in/2.png"], "B": ["B/3.png"]}


@pytest.mark.parametrize(
    ("path", "listed"),
    [
        *(("train/A/1.PNG", "Train/A/1.png"), ("Train/a/1.png", "Train/A/1.png"), ("Train/A/1.png", "Train/A/1.png")),
        *((unicodedata.normalize("NFD", "얼굴.png"), "얼굴.png"), (".", "."), ("b.png", "b.png"), ("B.png", "B.png")),
        ("../SET/b.png", "../set/b.png"),
    ],
)
def test_a_path_in_other_capitals_is_that_of_the_listing(root: Path, path: str, listed: str) -> None:
    make_files(root, "Train/A/1.png", "얼굴.png", "b.png", "B.png", "Train/none/")
    assert as_listed(root, path) == listed


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir", "#recycle", "@Recycle", ".@__thumb", "$RECYCLE.BIN", "System Volume Information", "lost+found"),
        *(
            ".Trash-1000",
            "__MACOSX",
            ".ipynb_checkpoints",
            ".AppleDouble",
            ".dropbox.cache",
            ".stfolder",
            ".stversions",
        ),
        *(".sync", "RECYCLER", "@tmp", "#snapshot", "Network Trash Folder", "__pycache__", "found.000", ".git"),
    ],
)
def test_folders_of_systems_are_left_out_and_counted(root: Path, name: str) -> None:
    make_files(root, "A/1.png", f"A/{name}/1.png", f"A/{name}/in/2.png")
    listing = list_images(root, ["A"])
    assert listing.images == {"A": ["A/1.png"]}
    kind = "hidden" if name.startswith(".") else "system"
    assert listing.left_out == {f"A/{name}": f"{kind} folder: 2 files"}
    assert subfolders(root / "A") == []


@pytest.mark.parametrize(
    "name",
    [
        *("Thumbs.db", "ehthumbs_vista.db", "desktop.ini", ".DS_Store", "._1.png", "~$1.png", "1.png~", "1.png.part"),
        *("1.png.crdownload", "1.jpg.download", "1.png:Zone.Identifier", "Icon\r", "Picasa.ini", ".nfs0001"),
    ],
)
def test_files_of_systems_are_left_out(root: Path, name: str) -> None:
    write(make_files(root, "1.png"), **{name: JPEG})
    listing = list_images(root, ["."])
    assert listing.images == {".": ["1.png"]}
    assert listing.left_out == {name: "hidden file" if name.startswith(".") else "system file"}


def test_a_system_folder_that_may_not_be_listed_ends_nothing_and_another_does(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_files(root, "A/1.png", "lost+found/", "A/closed/")
    listed = os.scandir

    def refuse(path: object) -> object:
        if str(path).endswith(("lost+found", "closed")):
            raise PermissionError(13, "Permission denied")
        return listed(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=f"^{root}/A/closed: cannot list this folder: Permission denied$"):
        list_images(root, ["."])
    (root / "A" / "closed").rmdir()
    assert list_images(root, ["."]).left_out == {"lost+found": "system folder: cannot be listed: Permission denied"}


def test_links_to_folders_and_files_are_followed(root: Path, tmp_path: Path) -> None:
    make_files(tmp_path, "elsewhere/1.png", "elsewhere/in/2.png", "elsewhere/notes.txt", "3.png")
    make_files(root, "A/0.png")
    (root / "A" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "A" / "3.png").symlink_to(tmp_path / "3.png")
    listing = list_images(root, ["A"])
    assert listing.images == {"A": ["A/0.png", "A/3.png", "A/linked/1.png", "A/linked/in/2.png"]}
    assert listing.left_out == {"A/linked/notes.txt": "not an image: a text file"}


def test_a_class_folder_may_be_a_link(root: Path, tmp_path: Path) -> None:
    make_files(tmp_path, "elsewhere/1.png")
    (root / "A").symlink_to("../elsewhere")
    assert list_images(root, ["A"]).images == {"A": ["A/1.png"]}


class Junction:
    """A link to a folder, as Windows lists one: it does not look like a link."""

    def __init__(self, entry: os.DirEntry[str]) -> None:
        self._entry = entry

    def is_symlink(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)


def test_junctions_around_themselves_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(root, "A/1.png", "A/in/2.png")
    (root / "A" / "in" / "up").symlink_to("..")
    (root / "A" / "twice").symlink_to("in")
    monkeypatch.setattr(walk, "entries", lambda folder, real=walk.entries: list(map(Junction, real(folder))))
    listing = list_images(root, ["A"])
    assert listing.left_out == {"A/in": "listed already: is A/twice", "A/twice/up": "listed already: is A"}
    assert listing.images == {"A": ["A/1.png", "A/twice/2.png"]}


def test_links_around_themselves_end(root: Path) -> None:
    make_files(root, "A/1.png", "A/in/2.png", "B/3.png")
    (root / "A" / "up").symlink_to("..")
    (root / "A" / "in" / "self").symlink_to(".")
    (root / "A" / "in" / "loop").symlink_to("loop")
    (root / "B" / "over").symlink_to("/")
    listing = list_images(root, ["A", "B"])
    assert listing.images == {"A": ["A/1.png", "A/in/2.png"], "B": ["B/3.png"]}
    around = "listed already: links to a folder around it"
    assert listing.left_out == {
        "A/in/loop": "dangling link: loop leads nowhere: Too many levels of symbolic links",
        "A/in/self": around,
        "A/up": around,
        "B/over": around,
    }


def test_a_file_that_two_paths_lead_to_is_used_where_it_is(root: Path, tmp_path: Path) -> None:
    make_files(root, "B/in/1.png", "B/2.png")
    make_files(tmp_path, "elsewhere/3.png", "elsewhere/in/4.png")
    make_files(root, "A/0.png")
    (root / "A" / "1.png").symlink_to("../B/in/1.png")  # sorts before B, and yet B has it
    (root / "A" / "all").symlink_to("../B")
    (root / "A" / "x").symlink_to(tmp_path / "elsewhere")
    (root / "A" / "y").symlink_to(tmp_path / "elsewhere" / "in")
    (root / "B" / "z").symlink_to(tmp_path / "elsewhere")
    listing = list_images(root, ["A", "B"])
    assert listing.images == {
        "A": ["A/0.png", "A/x/3.png", "A/x/in/4.png"],
        "B": ["B/2.png", "B/in/1.png"],
    }
    assert listing.left_out == {
        "A/1.png": "listed already: is B/in/1.png",
        "A/all": "listed already: is B",
        "A/y": "listed already: is A/x/in",
        "B/z": "listed already: is A/x",
    }


def test_a_link_to_a_part_of_what_it_surrounds_counts_it_once(root: Path, tmp_path: Path) -> None:
    make_files(tmp_path, "pool/a/1.png", "pool/b/2.png")
    (root / "A").symlink_to(tmp_path / "pool" / "a")
    (root / "B").symlink_to(tmp_path / "pool")
    listing = list_images(root, ["A", "B"])
    assert listing.images == {"A": ["A/1.png"], "B": ["B/b/2.png"]}
    assert listing.left_out == {"B/a": "listed already: is A"}


def test_two_names_of_one_file_are_two_files_as_copies_are(root: Path) -> None:
    make_files(root, "A/1.png", "B/")
    os.link(root / "A" / "1.png", root / "B" / "2.png")
    assert list_images(root, ["A", "B"]).images == {"A": ["A/1.png"], "B": ["B/2.png"]}


def test_pipes_and_sockets_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert list_images(tmp_path, ["."]).left_out == {"pipe.png": "not a file", "socket": "not a file"}


# --- what a source names ---


@pytest.fixture
def photos(root: Path) -> Path:
    return make_files(root / "my photos", "b.jpg", "a.PNG", "in/c.webp", "notes.txt", ".d.png", "in/@eaDir/c.jpg")


@pytest.mark.parametrize(
    ("source", "names", "left_out"),
    [
        ("b.jpg", ["b.jpg"], {}),
        ("notes.txt", ["notes.txt"], {}),
        (
            "",
            ["a.PNG", "b.jpg", "in/c.webp"],
            {".d.png": "hidden file", "in/@eaDir": "system folder: 1 file", "notes.txt": "not an image: a text file"},
        ),
        ("in", ["in/c.webp"], {"@eaDir": "system folder: 1 file"}),
        ("in/@eaDir", ["in/@eaDir/c.jpg"], {}),
        ("in/@eaDir/*", ["in/@eaDir/c.jpg"], {}),
        (
            "*",
            ["a.PNG", "b.jpg"],
            {"/in": "folder that a pattern does not search: 2 files", "/notes.txt": "not an image: a text file"},
        ),
        ("*.jpg", ["b.jpg"], {}),
        ("[ab].*", ["a.PNG", "b.jpg"], {}),
        (
            "**/*",
            ["a.PNG", "b.jpg", "in/c.webp"],
            {"/in/@eaDir/c.jpg": "system file", "/notes.txt": "not an image: a text file"},
        ),
    ],
)
def test_find_images(photos: Path, source: str, names: list[str], left_out: dict[str, str]) -> None:
    expected = {str(photos) + path if path[0] == "/" else path: reason for path, reason in left_out.items()}
    assert find_images(str(photos / source)) == ([photos / name for name in names], expected)


def test_a_pattern_names_a_file_once(photos: Path) -> None:
    (photos / "z.jpg").symlink_to("b.jpg")
    (photos / "gone.jpg").symlink_to("nothing")
    files, left_out = find_images(f"{photos}/*.jpg")
    assert files == [photos / "b.jpg"]
    assert left_out == {
        f"{photos}/gone.jpg": "dangling link: nothing does not exist",
        f"{photos}/z.jpg": f"listed already: is {photos}/b.jpg",
    }


def test_a_pattern_leaves_out_what_runs_have_written(root: Path) -> None:
    make_files(root / "photos", "a.png", "out/run.json", "out/annotated/a.png", "out/plots/roc.png", "deep/b.png")
    files, left_out = find_images(f"{root}/photos/**")
    assert files == [root / "photos/a.png", root / "photos/deep/b.png"]
    assert left_out[f"{root}/photos/out"] == "folder of runs: 3 files"
    files, _ = find_images(f"{root}/photos/out/annotated/*.png")  # a folder that is typed may be any
    assert files == [root / "photos/out/annotated/a.png"]


def test_a_pattern_tells_which_folders_it_does_not_search(root: Path) -> None:
    make_files(root, "1.png", "album/2.png", "album/3.png")
    assert find_images(f"{root}/*") == (
        [root / "1.png"],
        {f"{root}/album": "folder that a pattern does not search: 2 files"},
    )
    assert find_images(f"{root}/**") == ([root / "1.png", root / "album" / "2.png", root / "album" / "3.png"], {})


def test_a_pattern_in_a_folder_with_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "photos [1]"
    folder.mkdir()
    (folder / "a.jpg").touch()
    assert find_images(f"{folder}/*.jpg")[0] == [folder / "a.jpg"]
    assert find_images(f"{tmp_path}/photos*/*.jpg")[0] == [folder / "a.jpg"]


def test_find_images_in_the_home_folder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(photos))
    assert find_images("~/*.jpg")[0] == [photos / "b.jpg"]


def test_folder_named_like_a_pattern(root: Path) -> None:
    make_files(root / "party [2024]", "1.png")
    assert find_images(str(root / "party [2024]"))[0] == [root / "party [2024]" / "1.png"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("empty", "this folder holds no image file"),
        ("texts", "this folder holds no image file (not an image: 2 (2 .txt, such as 1.txt))"),
        ("nothing.png", "no such file, and no image file of this pattern"),
        ("*.txt", "no such file, and no image file of this pattern (not an image: {}/notes.txt)"),
    ],
)
def test_find_images_finds_none(photos: Path, source: str, reason: str) -> None:
    make_files(photos, "empty/", "texts/1.txt", "texts/2.txt")
    with pytest.raises(UserError) as caught:
        find_images(str(photos / source))
    expected = "expected an image, a folder or a pattern such as photos/*.jpg"
    assert str(caught.value) == f"source={photos / source}: {reason.format(photos)}; {expected}"


def test_videos_are_listed_where_they_are_wanted(root: Path) -> None:
    make_files(root, "a.MP4", "b.jpg", "script.ts", "sound.mp3", "in/c.mkv")
    write(root, film=b"\x1a\x45\xdf\xa3")
    (root / "camera.ts").write_bytes((b"G" + bytes(187)) * 4)
    files = [root / name for name in ("a.MP4", "b.jpg", "camera.ts", "film", "in/c.mkv")]
    left_out = {"script.ts": "not an image: a text file", "sound.mp3": "not an image: a text file"}
    assert find_images(str(root), with_videos=True) == (files, left_out)
    assert find_images(f"{root}/**", with_videos=True)[0] == files
    assert find_images(str(root))[0] == [root / "b.jpg"]
    assert find_images(f"{root}/in/*.mkv", with_videos=True)[0] == [root / "in" / "c.mkv"]


# --- through the commands ---


def test_the_commands_agree_on_what_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_dataset(tmp_path / "set", {"": 6})
    (root / "WithMask" / "0.png").rename(root / "WithMask" / "no ending")
    (root / "WithMask" / "1.png").rename(root / "WithMask" / "1.jpg_large")
    make_files(root, "WithMask/@eaDir/1.png", "WithMask/notes.txt", "WithoutMask/.DS_Store", "lost+found/")
    write_dataset(tmp_path / "more", {"": 2})
    (root / "WithMask" / "linked").symlink_to(tmp_path / "more" / "WithMask")
    (root / "WithoutMask" / "again").symlink_to("../WithMask")
    (root / "WithoutMask" / "gone.png").symlink_to("nothing")
    used = {path.relative_to(root).as_posix() for path in root.glob("With*/*") if path.suffix in (".png", ".jpg_large")}
    used = used - {"WithoutMask/gone.png"} | {"WithMask/no ending", "WithMask/linked/0.png", "WithMask/linked/1.png"}
    left_out = {
        "WithMask/@eaDir": "system folder: 1 file",
        "WithMask/notes.txt": "not an image: a text file",
        "WithoutMask/.DS_Store": "hidden file",
        "WithoutMask/again": "listed already: is WithMask",
        "WithoutMask/gone.png": "dangling link: nothing does not exist",
        "lost+found": "system folder: 0 files",
    }
    monkeypatch.chdir(tmp_path)
    small = ("model=mycnn", "data.input_size=16", "data.batch_size=4", "epochs=1", "plots=false", "device=cpu")
    for command, *arguments in (
        ("train", *small, "data=folder", f"data.root={root}"),
        ("eval", "ckpt=train", f"data.root={root}", "split=all", "plots=false"),
        ("predict", "ckpt=train", f"source={root}"),
        ("audit", f"data.root={root}"),
    ):
        assert cli.main(command, [*arguments, f"hydra.run.dir={command}"]) == 0
    records = {name: json.loads(Path(name, "run.json").read_text()) for name in ("train", "eval", "predict", "audit")}
    assert records["train"]["data"]["left_out"] == left_out
    assert records["eval"]["evaluation"]["data"]["left_out"] == left_out
    assert records["predict"]["left_out"] == left_out
    assert records["audit"]["data"]["left_out"] == left_out
    assert sum(sum(by_class.values()) for by_class in records["train"]["data"]["images"].values()) == len(used)
    assert {row["path"] for row in read_table(Path("eval/evaluation/all/predictions.csv"))} == used
    predicted = {Path(row["path"]).relative_to(root).as_posix() for row in read_table(Path("predict/predictions.csv"))}
    assert predicted == used
    assert {row["path"] for row in read_table(Path("audit/groups.csv"))} == used


def test_runs_in_the_folder_of_the_images_are_no_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_dataset(tmp_path / "set", {"": 6})
    monkeypatch.chdir(root)
    typed = ["model=mycnn", "data.input_size=16", "data.batch_size=4", "epochs=1", "data=folder", "data.root=."]
    for _ in range(2):  # the second run finds the plots of the first one
        assert cli.main("train", typed) == 0
    (first, second) = sorted(Path("outputs").glob("*/*/run.json"))
    records = [json.loads(path.read_text())["data"] for path in (first, second)]
    assert records[0]["fingerprint"] == records[1]["fingerprint"]
    assert records[1]["images"]["train"] == {"WithMask": 4, "WithoutMask": 4}
    assert [record["left_out"]["outputs"].startswith("folder of runs: ") for record in records] == [True, True]
    assert list(first.parent.glob("plots/*.png"))
    assert cli.main("predict", [f"ckpt={first.parent}", "source=.", "hydra.run.dir=predicted"]) == 0
    assert json.loads(Path("predicted/run.json").read_text())["images"] == 12
