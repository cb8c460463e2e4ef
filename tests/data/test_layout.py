"""Which folders are splits and classes: what people's folders look like, and what must not become a class."""

import shlex
from pathlib import Path

import pytest
import windows
from configuration import config_of
from indexes import make_files

from maskcls.data.index import index_folder
from maskcls.data.layout import find_layout, split_of, suggestion
from maskcls.data.notices import report_index
from maskcls.data.splits import cut_missing_splits
from maskcls.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder."""
    return make_files(tmp_path, "set/") / "set"


def images(root: Path, *folders: str) -> Path:
    """Make an image in each folder."""
    return make_files(root, *(f"{folder}/{number}.png" for number, folder in enumerate(folders)))


def refusal(root: Path, **options: dict[str, str]) -> str:
    """The message that refuses a data set, without the path of its root."""
    with pytest.raises(UserError) as caught:
        index_folder(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(root), "ROOT")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("training_set", "train"), ("seg_train", "train"), ("train_images", "train"), ("TrainSet", "train")),
        *(("Train Data", "train"), ("train2017", "train"), ("images-train", "train"), ("my train set", "train")),
        *(("validation_set", "val"), ("dev", "val"), ("eval", "val"), ("val2017", "val"), ("valid_data", "val")),
        *(("test_set", "test"), ("seg_test", "test"), ("test-images", "test"), ("Testing Set", "test")),
        *(("WithMask", None), ("contest", None), ("testament", None), ("invalid", None), ("pretrained", None)),
        *(("seg_pred", None), ("test_tubes", None), ("data", None), ("훈련", None), ("traintest", None), ("", None)),
    ],
)
def test_names_that_mean_a_split(name: str, split: str | None) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("Train/Train", "Test/Test"),
        ("train_images", "test_images"),
        ("train/images", "test/images"),
        ("train", "testing_set/testing_set"),
    ],
)
def test_splits_of_other_names_are_recognised(root: Path, train: str, test: str) -> None:
    images(root, f"{train}/cat", f"{train}/dog", f"{test}/cat", f"{test}/dog", "seg_pred")
    index = index_folder(root)
    assert index.classes == ("cat", "dog")
    assert {name: split.paths for name, split in index.splits.items()} == {
        "train": (f"{train}/cat/0.png", f"{train}/dog/1.png"),
        "test": (f"{test}/cat/2.png", f"{test}/dog/3.png"),
    }
    assert index.left_out == {"seg_pred": "folder beside the splits: 1 file"}


def test_a_test_folder_without_labels_gives_no_class(root: Path) -> None:
    images(root, "train/cat", "train/dog", "test/test")
    index = index_folder(root)
    assert (index.classes, list(index.splits)) == (("cat", "dog"), ["train"])
    assert index.left_out == {
        "test/test": "split folder without images in class folders",
        "test/test/2.png": "image outside of the class folders",
    }


def test_usual_names_come_before_others(root: Path) -> None:
    images(root, "train/A", "val/A", "eval/A", "train_data/A")
    index = index_folder(root)
    assert index.all_images().paths == ("train/A/0.png", "val/A/1.png")
    assert index.left_out == dict.fromkeys(("eval", "train_data"), "folder beside the splits: 1 file")


def test_capitals_that_the_system_ignores_are_those_of_the_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(root, "First/A", "First/B", "Second/A", "more")
    windows.ignore_case(monkeypatch)
    index = index_folder(root, splits={"train": "FIRST", "test": "second"})
    assert index.splits["train"].paths == ("First/A/0.png", "First/B/1.png")
    assert index.left_out == {"more": "folder beside the splits: 1 file"}


@pytest.mark.parametrize("names", [("Validation", "val"), ("dev", "eval"), ("test_set", "test_images")])
def test_two_folders_for_one_split_are_refused(root: Path, names: tuple[str, str]) -> None:
    images(root, "train/A", *(f"{name}/A" for name in names))
    first, second = sorted(names)
    assert f"ROOT: '{first}' and '{second}' are both the " in refusal(root)
    assert "data.splits={" in refusal(root)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        # splits, or folds, whose names say nothing
        (("a/cat", "a/dog", "b/cat", "b/dog"), "the folders 'a', 'b' all hold the same subfolders, 'cat', 'dog'; "),
        (("batch1/Cat", "batch2/cat"), "the folders 'batch1', 'batch2' all hold the same subfolders, 'cat'; "),
        (("a/A", "a/B", "a/C", "b/A", "b/B", "c/B", "c/A"), "'a', 'b', 'c' all hold the same subfolders, 'a', 'b'; "),
        (("Train/x/A", "Train/x/B", "Train/y/A", "Train/y/B", "Test/A"), "'Train/x', 'Train/y' all hold the same "),
    ],
)
def test_folders_that_hold_the_same_subfolders_are_no_classes(
    root: Path, folders: tuple[str, ...], message: str
) -> None:
    assert message in refusal(images(root, *folders))


def test_the_refusal_says_what_to_type(root: Path) -> None:
    images(root, "a/cat", "a/dog", "b/cat", "b/dog")
    assert refusal(root) == (
        "ROOT: the folders 'a', 'b' all hold the same subfolders, 'cat', 'dog'; if the outer ones are splits, "
        "'data.splits={train: FOLDER, val: FOLDER, test: FOLDER}' names them; if they are classes, type "
        "'data.class_map={a: a, b: b}'; if they are parts, data.root=FOLDER takes one of them"
    )
    assert index_folder(root, {"a": "a", "b": "b"}).classes == ("a", "b")
    assert index_folder(root, splits={"train": "b", "test": "a"}).counts() == {
        "train": {"cat": 1, "dog": 1},
        "test": {"cat": 1, "dog": 1},
    }


@pytest.mark.parametrize(
    ("splits", "shown"),
    [
        (("train", "test"), "split folders 'test', 'train'"),
        (("Validation",), "split folder 'Validation'"),
        (("training_set", "test_set"), "split folders 'test_set', 'training_set'"),
        (("train", "my test"), "split folder 'train'"),
    ],
)
def test_splits_within_classes_are_not_mixed(root: Path, splits: tuple[str, ...], shown: str) -> None:
    images(root, *(f"cats/{split}" for split in splits), "dogs/train", "dogs/val", "fish")
    first = shown.partition("'")[2].partition("'")[0]
    assert refusal(root) == (
        f"ROOT: 'cats' would be a class, but it holds the {shown}; splits are expected outside of classes, such as "
        f"{first}/cats: move the folders, or list the images in a table with a column split (data=table "
        "data.table=FILE); 'data.class_map={cats: null, dogs: null}' leaves all such folders out; "
        "'data.class_map={cats: cats, dogs: dogs}' makes a class of each and ignores these splits"
    )
    assert index_folder(root, {"cats": None, "dogs": None}).classes == ("fish",)
    assert index_folder(root, {"cats": "cats", "dogs": "dogs"}).classes == ("cats", "dogs", "fish")
    assert "'Train/cats' would be a class, " in refusal(images(root.parent / "set2", "Train/cats/train", "Train/a"))


def test_a_folder_with_splits_of_its_own_is_no_class(root: Path) -> None:
    images(root, "round", "square", "my other/Train/round", "my other/Train/square", "my other/Test/round")
    assert refusal(root) == (
        "ROOT: 'my other' would be a class, but it holds the split folders 'Test', 'Train'; data.root='ROOT/my other' "
        """takes the splits of this folder alone; 'data.class_map={"my other": null}' leaves it out; """
        """'data.class_map={"my other": "my other"}' makes a class of it and ignores these splits"""
    )
    assert index_folder(root, {"my other": None}).classes == ("round", "square")
    assert index_folder(root / "my other").counts() == {
        "train": {"round": 1, "square": 1},
        "test": {"round": 1, "square": 0},
    }


def test_annotations_beside_images_with_splits_are_no_class(root: Path) -> None:
    images(root, *(f"images/{split}/{name}" for split in ("train", "val") for name in ("round", "square")))
    images(root, "annotations")
    assert "'images' would be a class, but it holds the split folders 'train', 'val'; data.root=" in refusal(root)
    assert list(index_folder(root / "images").splits) == ["train", "val"]


@pytest.mark.parametrize(
    "folders",
    [
        ("cat/images", "dog/images"),
        ("cat/test_images", "dog/eval"),
        ("cat/2023", "dog/2023"),
        ("cat/in", "dog/out"),
        ("cat", "cat/in", "dog/in"),
        ("cat/ann", "cat/bob", "dog/bob", "dog/cid"),
    ],
)
def test_classes_may_have_subfolders(root: Path, folders: tuple[str, ...]) -> None:
    assert index_folder(images(root, *folders)).classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["kaggle/FMD", "seoul"])
def test_a_folder_of_any_name_may_wrap_classes(root: Path, name: str) -> None:
    images(root / name, "WithMask", "WithoutMask")
    index = index_folder(root)
    assert (index.root, index.classes) == (root / name, ("WithMask", "WithoutMask"))


def test_subfolders_of_a_single_class_are_announced(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    images(root, "WithMask/ann", "WithMask/bob")
    report_index(index_folder(root), root)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        f"{root}/WithMask: the classes are 'ann', 'bob'; if 'WithMask' is a class itself, type "
        "'data.class_map={WithMask: WithMask}'"
    ]
    assert index_folder(root, {"WithMask": "WithMask"}).classes == ("WithMask",)


@pytest.mark.parametrize(
    "wrapping", ["Face Mask Dataset", "PetImages", "flower_photos", "1", "v2", "archive (3)", "dataset/images", "사진"]
)
def test_a_folder_that_only_wraps_others_is_passed_through(
    root: Path, wrapping: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    images(root / wrapping, "A", "B")
    index = index_folder(root)
    assert index.root == root / wrapping
    report_index(index, root)
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_what_stands_beside_a_wrapping_folder_can_be_left_out(root: Path) -> None:
    make_files(images(root, "data/A", "data/B"), "code/run.py", "code/more.py")
    assert "the class folder 'code' has 2 files but no image (2 .py: a text file); " in refusal(root)
    index = index_folder(root, {"code": None})
    assert (index.root, index.classes) == (root / "data", ("A", "B"))
    assert index.left_out == {"../code": "folder excluded by data.class_map: 2 files"}


@pytest.mark.parametrize("files", [("train/1.png", "test/2.png"), ("train/1.png", "test/")])
def test_classes_with_the_names_of_splits_can_be_pasted(root: Path, files: tuple[str, ...]) -> None:
    message = refusal(make_files(root, *files))
    typed = "'data.class_map={train: train, test: test}'"
    assert f"or Train/WithMask/1.png; if 'train', 'test' are classes and no splits, type {typed}; left out: " in message
    class_map = config_of("audit", "data.root=/x", *shlex.split(typed)).data.class_map
    assert index_folder(root, class_map).all_images().paths == tuple(sorted(name for name in files if "." in name))


def test_splits_without_a_common_class_may_be_classes(root: Path) -> None:
    index = index_folder(make_files(root, *(f"train/2020/{i}.png" for i in range(4)), "test/2021/1.png"))
    with pytest.raises(UserError) as caught:
        cut_missing_splits(index, val_fraction=0.2, test_fraction=0.2, seed=0)
    assert str(caught.value) == (
        f"{root}: no image of the class '2021' in the train split; to do without, type "
        """'data.class_map={"2021": null}'; if 'train', 'test' are classes and no splits, type """
        "'data.class_map={train: train, test: test}'"
    )
    assert index_folder(root, {"train": "train", "test": "test"}).classes == ("test", "train")


def test_runs_beside_a_data_set_change_nothing(root: Path) -> None:
    make_files(images(root, "archive/A", "archive/B"), "outputs/2026-11-25/10-00-00_a/run.json")
    images(root, "outputs/2026-11-25/10-00-00_a/plots")
    assert index_folder(root).root == root / "archive"
    assert index_folder(root).left_out == {"../outputs": "folder of runs: 2 files"}
    assert index_folder(root, splits={"train": "archive"}).left_out == {"outputs": "folder of runs: 2 files"}
    images(root, "more/A", "more/B", "run")
    assert "'archive', 'more' all hold the same subfolders" in refusal(make_files(root, "run/run.lock"))


def test_a_folder_of_any_name_may_wrap_splits(root: Path) -> None:
    images(root / "Kim's" / "best", "Train/A", "Test/A")
    assert index_folder(root).root == root / "Kim's" / "best"


@pytest.mark.parametrize("name", ["train", "test", "valid", "test_images"])
def test_a_class_with_the_name_of_a_split_must_be_declared(root: Path, name: str) -> None:
    images(root, "plane", "car", name)
    declared = f"data.class_map={{{name}: {name}}}"
    assert refusal(root) == (
        f"ROOT: the folder '{name}' has the name of a split, but holds no class folders; if it is a class, type "
        f"'{declared}'; if it is to be left out, type 'data.class_map={{{name}: null}}'"
    )
    assert index_folder(root, {name: name}).classes == tuple(sorted(("plane", "car", name)))
    assert index_folder(root, {name: None}).classes == ("car", "plane")


def test_splits_without_class_folders_are_no_classes(root: Path) -> None:
    assert refusal(images(root, "train_images", "test_images")).startswith("ROOT: no images in class folders; ")


def test_splits_can_be_named(root: Path) -> None:
    images(root, "part one/A", "part one/B", "x/y/A", "x/y/B", "x/z/A")
    index = index_folder(root, splits={"train": "part one", "val": f"{root}/x/y"})
    assert {name: split.paths for name, split in index.splits.items()} == {
        "train": ("part one/A/0.png", "part one/B/1.png"),
        "val": ("x/y/A/2.png", "x/y/B/3.png"),
    }
    assert index.left_out == {"x/z": "folder beside the splits: 1 file"}


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"trian": "a"}, "data.splits: 'trian' is not a split; expected train, val, test; did you mean 'train'?"),
        ({"train": "aa1"}, "data.splits: train=aa1: no such folder in ROOT; did you mean 'aa'?"),
        ({"train": "x"}, "data.splits: train=x: no such folder in ROOT; it has aa, bb"),
        ({"train": ".."}, "data.splits: train=..: no such folder in ROOT; it has aa, bb"),
        ({"train": "aa", "test": "aa"}, "data.splits: the test split aa is in the train split aa"),
        ({"train": "aa", "test": "aa/A"}, "data.splits: the test split aa/A is in the train split aa"),
        ({"train": ".", "test": "bb"}, "data.splits: the test split bb is in the train split ."),
    ],
)
def test_splits_that_are_none_are_refused(root: Path, splits: dict[str, str], message: str) -> None:
    images(root, "aa/A", "bb/A")
    assert refusal(root, splits=splits) == message


def test_paths_are_shown_without_detours(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(root / "faces", "A", "B")
    make_files(root, "work/")
    monkeypatch.chdir(root / "work")
    assert index_folder(Path("../faces")).root == root / "faces"
    (root / "link").symlink_to(root / "faces" / "A")
    assert find_layout(root / "link" / "..", {}, {}).root == root / "faces"


@pytest.mark.parametrize(
    "name",
    [
        *("with_mask", "with mask", "a, b", "it's", 'say "x"', "a: b", "{a}", "[b]", "x=y", "back\\slash", " front"),
        *("trailing ", "마스크", "null", "true", "0", "1e3", "#1", "$HOME", "a\tb", "*", "-", "~"),
    ],
)
def test_a_suggestion_can_be_pasted_whatever_a_folder_is_called(name: str) -> None:
    (override,) = shlex.split(suggestion({name: name, "other": None}))
    class_map = config_of("train", "data=folder", "data.root=x", override).data.class_map
    assert class_map == {name: name, "other": None}


def test_a_suggestion_for_many_folders_is_cut_short() -> None:
    assert suggestion({f"f{number}": None for number in range(40)}).endswith("f10: null, f11: null, ...}'")
