"""Labels in a table: what is read, and what is refused in one line."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import windows
from configuration import small, start_run
from images import write_dataset
from indexes import labelled, make_files

from maskcls import cli
from maskcls.data.groups import Membership
from maskcls.data.notices import report_index
from maskcls.data.table import index_table
from maskcls.errors import UserError

PATHS = ("a/1.png", "a/2.png", "b/3.png", "4.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_files(tmp_path / "set", *PATHS)


def write(root: Path, *lines: str, end: str = "\n") -> Path:
    """Write a table beside the images."""
    path = root / "labels.csv"
    path.write_bytes("".join(f"{line}{end}" for line in lines).encode())
    return path


def test_paths_and_labels_are_read(root: Path) -> None:
    table = write(root, "path,label", "a/1.png,cat", "b/3.png,dog", "4.png,cat")
    index, groups = index_table(table, table.parent)
    assert (index.root, index.classes, groups) == (root, ("cat", "dog"), None)
    assert {name: labelled(split) for name, split in index.splits.items()} == {
        "all": {"4.png": 0, "a/1.png": 0, "b/3.png": 1}
    }
    assert index.left_out == {"a/2.png": "image that is not in data.table"}


def test_splits_and_groups_are_read(root: Path) -> None:
    rows = ("a/1.png,cat,Train,g1", "a/2.png,dog,training,g2", "b/3.png,cat,valid,g3", "4.png,dog,test,g2")
    table = write(root, "path,label,split,group", *rows)
    index, groups = index_table(table, table.parent)
    assert {name: labelled(split) for name, split in index.splits.items()} == {
        "train": {"a/1.png": 0, "a/2.png": 1},
        "val": {"b/3.png": 0},
        "test": {"4.png": 1},
    }
    assert groups == {path: Membership(f"g{number}") for path, number in zip(PATHS, (1, 2, 3, 2), strict=True)}


def test_absolute_paths_below_the_root_are_its_files(root: Path) -> None:
    table = write(root, "path,label", f"{root}/a/1.png,cat", f"{root}/b/../4.png,dog")
    index, _ = index_table(table, root)
    assert index.splits["all"].paths == ("4.png", "a/1.png")
    assert set(index.left_out) == {"a/2.png", "b/3.png"}
    again = write(root, "path,label", f"{root}/a/1.png,cat", "a/1.png,cat")
    with pytest.raises(UserError, match=r"lines 2 and 3 both name a/1\.png"):
        index_table(again, root)


def test_a_name_in_the_other_spelling_of_unicode_is_found(root: Path) -> None:
    composed, parted = (unicodedata.normalize(form, "마스크.png") for form in ("NFC", "NFD"))
    table = write(make_files(root, parted), "path,label", f"{composed},mask", "4.png,none")
    assert index_table(table, root)[0].splits["all"].paths == ("4.png", parted)
    make_files(root, composed)
    index, _ = index_table(table, root)
    assert index.splits["all"].paths == ("4.png", composed)
    assert index.left_out[parted] == "image that is not in data.table"


def test_capitals_that_the_system_ignores_are_those_of_the_files(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    windows.ignore_case(monkeypatch)
    index, _ = index_table(write(root, "path,label", "A/1.PNG,cat", "b/3.png,dog", "4.Png,cat"), root)
    assert index.splits["all"].paths == ("4.png", "a/1.png", "b/3.png")
    assert index.left_out == {"a/2.png": "image that is not in data.table"}
    assert index.notes == ()
    with pytest.raises(UserError, match=r"lines 2 and 3 both name a/1\.png"):
        index_table(write(root, "path,label", "A/1.PNG,cat", "a/1.png,cat"), root)


def test_paths_may_be_relative_to_another_folder_and_have_backslashes(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("path,label\n.\\a\\1.png,cat\na//2.png,dog\n")
    assert index_table(table, root)[0].all_images().paths == ("a/1.png", "a/2.png")


def test_a_class_map_applies_to_labels(root: Path) -> None:
    table = write(root, "path,label", "a/1.png,0", "a/2.png,1", "b/3.png,2", "4.png,0")
    index, _ = index_table(table, table.parent, class_map={"0": "cat", "1": None})
    assert labelled(index.splits["all"]) == {"4.png": 1, "a/1.png": 1, "b/3.png": 0}
    assert index.classes == ("2", "cat")
    assert index.left_out == {"a/2.png": "image excluded by data.class_map"}
    with pytest.raises(UserError, match=r"^data\.class_map: .*labels.csv has no label '00'; did you mean '0'"):
        index_table(table, table.parent, class_map={"00": "cat"})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("path,label", "4.png,a", "./4.png,b"), "lines 2 and 3 both name 4.png"),
        (("path,label", "a/1,a", "a/1.png,b"), "lines 2 and 3 both name a/1.png"),
        (
            ("path,label", "b/3.png,a", "two/1,b"),
            "line 3: 'two/1' may be 'two/1.jpg', 'two/1.png'; write its ending",
        ),
        (
            ("path,label", "4.png,a", "5.png,a", "6,a"),
            "2 of 3 files not found in ROOT, such as 5.png in line 3; add these files, or take their lines out of the "
            "table",
        ),
        (
            ("path,label", "5.png,a"),
            "1 of 1 file not found in ROOT, such as 5.png in line 2; data.root=FOLDER names the folder that the paths "
            "are relative to",
        ),
        (
            ("path,label", "B/3.JPG,a", "4.png,a"),
            "1 of 2 files not found in ROOT, such as B/3.JPG in line 2; there is 'b/3.png': write folders, endings, "
            "upper and lower case as the files have them",
        ),
        (
            ("path,label", "4.png,a", "2.png,a"),
            "1 of 2 files not found in ROOT, such as 2.png in line 3; there is 'a/2.png': write folders, endings, "
            "upper and lower case as the files have them",
        ),
        (
            ("path,label", f"{'x' * 300},a"),
            f"1 of 1 file not found in ROOT, such as {'x' * 300} in line 2; data.root=FOLDER names the folder that the "
            "paths are relative to",
        ),
        (
            ("path,label", "1.png,a", "2,a"),
            "2 of 2 files not found in ROOT, such as 1.png in line 2; they are in a folder of it: type "
            "data.root=ROOT/a",
        ),
        (
            ("path,label", "4.png,a", "/home/me/set/a/1.png,a", "/home/me/set/b/3.png,a"),
            "2 of 3 files not found in ROOT, such as /home/me/set/a/1.png in line 3; without '/home/me/set/' at their "
            "beginning they are found: take it off in the table",
        ),
        (
            ("path,label", "C:\\set\\a\\1.png,a", "C:\\set\\4,a"),
            "2 of 2 files not found in ROOT, such as C:/set/a/1.png in line 2; without 'C:/set/' at their beginning "
            "they are found: take it off in the table",
        ),
        (
            ("path,label", "/home/me/5.png,a"),
            "1 of 1 file not found in ROOT, such as /home/me/5.png in line 2; these paths are absolute, and data.root "
            "counts for relative paths only: make them relative",
        ),
    ],
)
def test_files_that_are_not_clear_are_refused(root: Path, lines: tuple[str, ...], message: str) -> None:
    make_files(root, "two/1.png", "two/1.jpg")
    table = write(root, *lines)
    with pytest.raises(UserError) as caught:
        index_table(table, table.parent)
    assert str(caught.value).replace(f"{table}", "TABLE").replace(str(root), "ROOT") == f"data.table=TABLE: {message}"


def test_a_path_without_an_ending_is_the_one_image_of_that_name(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_files(root, "v1.5.JPG", "none")
    index, _ = index_table(write(root, "path,label", "a\\1,cat", "v1.5,cat", "4.png,dog", "none,dog"), root)
    assert index.splits["all"].paths == ("4.png", "a/1.png", "none", "v1.5.JPG")
    caplog.set_level("INFO")
    report_index(index, root)
    assert caplog.messages[-1] == (
        "2 paths in data.table without an ending: each stands for the one image of that name, such as 1 for a/1.png"
    )
    assert index_table(write(root, "path,label", "a/1.png,cat"), root)[0].notes == ()


def test_a_label_that_no_folder_could_have_is_refused(root: Path) -> None:
    table = write(root, "path,label", "4.png,a/b")
    with pytest.raises(UserError) as caught:
        index_table(table, root)
    assert str(caught.value) == f"{root}: the class name 'a/b' cannot be used; rename it, without / and \\"


# --- through the commands ---

SETTINGS = ("data=table", "data.table=set/labels.csv", "model=mycnn", "data.input_size=16", "data.batch_size=8")
SMALL = ("epochs=1", "device=cpu", "plots=false", "hydra.run.dir=run")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table of 32 images, each two of one group, and one image that is not in it."""
    root = write_dataset(tmp_path / "set", {"": 16})
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    write(root, "path,label,group", *(f"{path},{path.split('/')[0]},g{i // 2}" for i, path in enumerate(paths)))
    make_files(root, "more.png")
    monkeypatch.chdir(tmp_path)
    return root


def record(run: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(Path(run, "run.json").read_text())
    return read


def test_every_command_reads_a_table(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main("train", [*SETTINGS, *SMALL, "data.split=grouped"]) == 0
    trained = record("run")["data"]
    assert (trained["root"], trained["split"]) == (str(images), "grouped")
    assert trained["images"]["train"] == {"WithMask": 12, "WithoutMask": 12}
    assert trained["left_out"].pop("more.png") == "image that is not in data.table"
    assert set(trained["left_out"].values()) == {
        "same photograph as an image in val",
        "same photograph as an image in test",
    }
    assert "split grouped; no photograph is in two splits" in capsys.readouterr().out
    # it resumes, and is known again
    assert cli.main("train", ["resume=run", "epochs=2"]) == 0
    assert record("run")["data"]["fingerprint"] == trained["fingerprint"]
    assert cli.main("eval", ["ckpt=run", "plots=false", "hydra.run.dir=eval"]) == 0
    evaluation = record("eval")["evaluation"]
    assert (evaluation["split"], evaluation["data"]["fingerprint"]) == ("test", trained["fingerprint"])
    # its images are known without the table, too
    as_folder = ["ckpt=run", f"data.root={images}", "split=all", "plots=false", "hydra.run.dir=eval_folder"]
    assert cli.main("eval", as_folder) == 0
    assert record("eval_folder")["evaluation"]["data"]["in_train"] == 24
    # also elsewhere
    images.rename(images.with_name("moved"))
    capsys.readouterr()
    assert cli.main("eval", ["ckpt=run"]) == 2
    assert f"{images} any more: give data.table=FILE" in capsys.readouterr().err
    moved = ["ckpt=run", "data.table=moved/labels.csv", "plots=false", "hydra.run.dir=eval_moved"]
    assert cli.main("eval", moved) == 0
    assert record("eval_moved")["evaluation"]["data"]["fingerprint"] == trained["fingerprint"]
    assert cli.main("audit", ["data.table=moved/labels.csv", "hydra.run.dir=audit"]) == 0
    audited = record("audit")["data"]
    assert audited["files"] == {"all": {"WithMask": 16, "WithoutMask": 16}}
    assert audited["left_out"] == {"more.png": "image that is not in data.table"}


def test_a_run_whose_table_moved_is_resumed_with_it(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main("train", [*SETTINGS, *SMALL, "test=none"]) == 0
    fingerprint = record("run")["data"]["fingerprint"]
    moved = images.rename(images.with_name("moved"))
    (moved / "fewer.csv").write_text("".join((moved / "labels.csv").read_text().splitlines(keepends=True)[:-1]))
    capsys.readouterr()
    assert cli.main("train", ["resume=run", "epochs=2"]) == 2
    way = "data.table=FILE says where the table of this run is now"
    assert f"data.table={images}/labels.csv: no such file; {way}\n" in capsys.readouterr().err
    assert cli.main("train", ["resume=run", "epochs=2", "data.table=moved/fewer.csv"]) == 2
    assert f"{moved} does not hold the files that this run began with" in capsys.readouterr().err
    assert cli.main("train", ["resume=run", "epochs=2", "data.table=moved/labels.csv"]) == 0
    assert record("run")["data"]["fingerprint"] == fingerprint


def test_a_run_without_a_table_is_not_resumed_with_one(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_run(tmp_path / "run", small(dataset)).finish("interrupted", 143)
    assert cli.main("train", [f"resume={tmp_path / 'run'}", "data.table=labels.csv"]) == 2
    assert f"resume={tmp_path / 'run'}: data.table is not a key of data=folder: " in capsys.readouterr().err


def test_a_table_that_is_not_given_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main("train", ["data=table"]) == 2
    assert capsys.readouterr().err == "maskcls-train: data.table is missing: give it as data.table=PATH\n"
    assert cli.main("train", ["data=table", "data.table=none.csv"]) == 2
    assert "none.csv: no such file; expected a CSV file with the columns path and label" in capsys.readouterr().err
