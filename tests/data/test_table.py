"""Labels in a table: what is read, and what is refused in one line."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from images import write_dataset
from indexes import labelled, make_files

from maskcls import cli
from maskcls.data.groups import Membership
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


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_of_every_spreadsheet_are_read(root: Path, delimiter: str, mark: str, end: str) -> None:
    lines = [
        mark + f'"File Name"{delimiter} Class ',
        f'"a/1.png"{delimiter}"it\'s, a ""cat"""',
        "",
        f"4.png{delimiter}b",
    ]
    table = write(root, *lines, end=end)
    index, _ = index_table(table, table.parent, {"path": "File Name"})
    assert index.classes == ("b", 'it\'s, a "cat"')
    assert index.splits["all"].paths == ("4.png", "a/1.png")


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("image,category", None),
        ("filename,label", None),
        ("Path,Class", None),
        (",id,breed", {"path": "id", "label": "breed"}),
        ("file,id,label,class", {"path": "id", "label": "class"}),
    ],
)
def test_columns_have_usual_names_or_are_named(root: Path, header: str, columns: dict[str, str] | None) -> None:
    cells = {"id": "a/1.png", "path": "a/1.png", "image": "a/1.png", "filename": "a/1.png"}
    wanted = {"breed": "cat", "category": "cat", "class": "cat", "label": "cat"}
    if columns:
        wanted = {columns["label"]: "cat"}
    line = ",".join((cells | wanted).get(name.lower(), "0") for name in header.split(","))
    table = write(root, header, line)
    assert index_table(table, table.parent, columns)[0].classes == ("cat",)


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
        ((), "no column 'path'; it has none; 'data.columns={path: NAME}' names it"),
        (("path,label",), "holds no image"),
        (("file,breed", "4.png,a"), "no column 'label'; it has 'file', 'breed'; 'data.columns={label: NAME}' names it"),
        (("path,label", "4.png,"), "line 2: the column 'label' is empty"),
        (("path,label", "4.png"), "line 2: the column 'label' is empty"),
        (("path,label,group", "4.png,a,g", "a/1.png,a, "), "line 3: the column 'group' is empty"),
        (("path,label,split", "4.png,a,"), "line 2: the column 'split' is empty"),
        (("path,label,split", "4.png,a,fold1"), "line 2: 'fold1' is not a split; expected train, val or test"),
        (("path,label", "4.png,a", "./4.png,b"), "lines 2 and 3 both name 4.png"),
        (
            ("path,label", "4.png,a", "5.png,a", "6,a"),
            "2 of 3 files not found in ROOT, such as 5.png; data.root=FOLDER names the folder that the paths are "
            "relative to",
        ),
        (("path,label", 'a.png,"cat'), "is not a CSV file: unexpected end of data"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(root: Path, lines: tuple[str, ...], message: str) -> None:
    table = write(root, *lines)
    with pytest.raises(UserError) as caught:
        index_table(table, table.parent)
    assert str(caught.value).replace(f"{table}", "TABLE").replace(str(root), "ROOT") == f"data.table=TABLE: {message}"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pth": "a"}, "data.columns: 'pth' is not known; expected path, label, split, group; did you mean 'path'?"),
        ({"path": "pat"}, "data.columns: TABLE has no column 'pat'; it has 'path', 'label'; did you mean 'path'?"),
    ],
)
def test_columns_that_are_none_are_refused(root: Path, columns: dict[str, str], message: str) -> None:
    table = write(root, "path,label", "4.png,a")
    with pytest.raises(UserError) as caught:
        index_table(table, table.parent, columns)
    assert str(caught.value).replace(str(table), "TABLE") == message


def test_a_table_that_cannot_be_read_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file or directory"):
        index_table(root / "none.csv", root)
    (root / "korean.csv").write_bytes("path,label\n4.png,마스크\n".encode("cp949"))
    with pytest.raises(UserError, match="is not in UTF-8; save it as CSV in UTF-8"):
        index_table(root / "korean.csv", root)


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
        "copy of an image that is evaluated: val",
        "copy of an image that is evaluated: test",
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


def test_a_table_that_is_not_given_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main("train", ["data=table"]) == 2
    assert capsys.readouterr().err == "maskcls-train: data.table is missing: give it as data.table=PATH\n"
    assert cli.main("train", ["data=table", "data.table=none.csv"]) == 2
    assert "none.csv: no such file; expected a CSV file with the columns path and label" in capsys.readouterr().err
