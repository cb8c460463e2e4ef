import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from indexes import labelled, make_classes, make_files

from maskcls.data.index import find_images, index_folder, is_class_name, match_classes, require_classes
from maskcls.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder."""
    return make_files(tmp_path, "set/") / "set"


def test_published_layout(dataset: Path) -> None:
    index = index_folder(dataset)
    assert index.root == dataset
    assert index.classes == ("WithMask", "WithoutMask")
    assert list(index.splits) == ["train", "val", "test"]
    assert index.counts() == {
        "train": {"WithMask": 24, "WithoutMask": 24},
        "val": {"WithMask": 8, "WithoutMask": 8},
        "test": {"WithMask": 6, "WithoutMask": 6},
    }
    assert len(index.splits["train"]) == 48
    assert labelled(index.splits["test"])["Test/WithMask/3.png"] == 0
    assert labelled(index.splits["test"])["Test/WithoutMask/3.png"] == 1
    assert index.splits["val"].paths == tuple(sorted(index.splits["val"].paths))


@pytest.mark.parametrize(
    "names",
    [
        ("Train", "Validation", "Test"),
        ("train", "val", "test"),
        ("TRAINING", "VALID", "TESTING"),
        ("Training", "validation", "tEST"),
        ("train", "Val", "testing"),
    ],
)
def test_spellings_of_the_split_folders(root: Path, names: tuple[str, ...]) -> None:
    make_files(root, *(f"{name}/A/{number}.png" for number, name in enumerate(names)))
    splits = index_folder(root).splits
    assert {name: split.paths for name, split in splits.items()} == {
        "train": (f"{names[0]}/A/0.png",),
        "val": (f"{names[1]}/A/1.png",),
        "test": (f"{names[2]}/A/2.png",),
    }


@pytest.mark.parametrize("wrapping", ["Face Mask Dataset", "a/b"])
@pytest.mark.parametrize("inside", [("Train/A/1.png", "Val/A/1.png"), ("A/1.png", "B/1.png")])
def test_lone_wrapping_folder_is_descended(root: Path, wrapping: str, inside: tuple[str, ...]) -> None:
    make_files(root / wrapping, *inside)
    make_files(root, "readme.txt", ".git/config/1.png", "__MACOSX/A/._1.png")
    index = index_folder(root)
    assert index.root == root / wrapping
    assert index.all_images().paths == inside


@pytest.mark.parametrize(("folder", "split"), [("Train", "train"), ("TEST", "test"), ("valid", "val")])
def test_lone_split_folder_is_a_split(root: Path, folder: str, split: str) -> None:
    make_files(root, f"{folder}/A/1.png", f"{folder}/B/1.png")
    index = index_folder(root)
    assert index.root == root
    assert index.classes == ("A", "B")
    assert list(index.splits) == [split]


def test_relative_root_becomes_absolute(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(root / "set", "A/1.png", "B/1.png")
    monkeypatch.chdir(root)
    assert index_folder(Path("set")).root == root / "set"


def test_two_folders_for_one_split_are_refused(root: Path) -> None:
    make_files(root, "Train/A/1.png", "val/A/1.png", "Validation/A/1.png")
    with pytest.raises(UserError, match="'Validation' and 'val' are both the val split"):
        index_folder(root)


def test_folders_beside_the_splits_are_left_out(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_files(root, "Train/A/1.png", "Test/A/1.png", "extra/A/1.png", "more/A/1.png")
    assert index_folder(root).all_images().paths == ("Train/A/1.png", "Test/A/1.png")
    assert "ignoring folders that are not splits: extra, more" in caplog.text


def test_images_in_folders_of_a_class_folder_belong_to_the_class(root: Path) -> None:
    make_files(root, "A/1.png", "A/deep/er/2.jpg", "B/deep/3.png")
    assert labelled(index_folder(root).splits["all"]) == {"A/1.png": 0, "A/deep/er/2.jpg": 0, "B/deep/3.png": 1}


def test_what_is_no_image_is_left_out_and_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_files(root, "A/1.PNG", "A/notes.txt", "A/.2.png", "A/Thumbs.db", "B/3.jpeg", "B/png", "empty/")
    index = index_folder(root)
    assert index.splits["all"].paths == ("A/1.PNG", "B/3.jpeg")
    assert index.classes == ("A", "B")
    assert f"{root}: ignoring 4 files that are not images" in caplog.text
    assert f"{root / 'empty'}: ignoring this folder, which has no images" in caplog.text


def test_copies_in_hidden_folders_are_left_out(root: Path) -> None:
    make_files(root, "A/1.png", "A/.ipynb_checkpoints/1-checkpoint.png", "B/2.png", ".hidden/3.png", "B/__MACOSX/2.png")
    assert index_folder(root).splits["all"].paths == ("A/1.png", "B/2.png")
    assert find_images(str(root)) == [root / "A" / "1.png", root / "B" / "2.png"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "jpe", "bmp", "webp", "tif", "tiff", "gif", "JPG", "Tif"])
def test_image_suffixes(root: Path, suffix: str) -> None:
    make_files(root, f"A/1.{suffix}", "B/1.png")
    assert index_folder(root).counts() == {"all": {"A": 1, "B": 1}}


def test_classes_are_matched_by_name_across_splits(root: Path) -> None:
    make_files(root, "Train/A/1.png", "Train/B/1.png", "Train/C/1.png", "Val/B/2.png", "Val/C/2.png", "Test/C/3.png")
    index = index_folder(root)
    assert index.classes == ("A", "B", "C")
    assert labelled(index.splits["val"]) == {"Val/B/2.png": 1, "Val/C/2.png": 2}
    assert labelled(index.splits["test"]) == {"Test/C/3.png": 2}
    assert index.counts()["test"] == {"A": 0, "B": 0, "C": 1}


def test_class_that_only_a_later_split_has_counts(root: Path) -> None:
    make_files(root, "Train/B/1.png", "Test/A/1.png")
    index = index_folder(root)
    assert index.classes == ("A", "B")
    assert labelled(index.splits["train"]) == {"Train/B/1.png": 1}


def test_odd_names(root: Path) -> None:
    names = ("마스크 착용/사진 1.png", "no mask [x]/a=b, {c}.png", "o'hare & co/100%.jpg")
    make_files(root / "얼굴 데이터", *names)
    index = index_folder(root / "얼굴 데이터")
    assert index.classes == ("no mask [x]", "o'hare & co", "마스크 착용")
    assert set(index.splits["all"].paths) == set(names)


def test_name_that_is_not_unicode(root: Path) -> None:
    make_files(root, "A/1.png", "B/1.png")
    try:
        os.rename(os.fsencode(root / "A" / "1.png"), os.fsencode(root / "A") + b"/\xff.png")
    except OSError:
        pytest.skip("this file system knows Unicode names only")
    index = index_folder(root)
    assert index.splits["all"].paths == ("A/\udcff.png", "B/1.png")
    assert len(index.fingerprint()) == 64


def test_classes_are_matched_in_both_spellings_of_unicode(root: Path) -> None:
    # NFC as people type it, NFD as in archives made by macOS
    make_files(root, "Train/caf\u00e9/1.png", "Train/tea/1.png", "Val/cafe\u0301/2.png", "Val/tea/2.png")
    index = index_folder(root)
    assert index.classes == ("caf\u00e9", "tea")
    assert labelled(index.splits["val"]) == {"Val/cafe\u0301/2.png": 0, "Val/tea/2.png": 1}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "no images in class folders"),
        (("1.png", "2.png"), "no images in class folders"),
        (("Train/1.png", "Test/"), "no images in class folders"),
        (("A/notes.txt", "B/"), "no images in class folders"),
    ],
)
def test_folder_without_classes(root: Path, names: tuple[str, ...], message: str) -> None:
    make_files(root / "set", *names).mkdir(exist_ok=True)
    with pytest.raises(UserError, match=message):
        index_folder(root / "set")


@pytest.mark.parametrize("name", ["nowhere", "file.png"])
def test_root_that_is_no_folder(root: Path, name: str) -> None:
    make_files(root, "file.png")
    with pytest.raises(UserError, match=rf"^data\.root={root / name}: no such folder$"):
        index_folder(root / name)


def test_root_that_cannot_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match=f"^{root}: cannot list this folder: Permission denied$"):
        index_folder(root)


def test_empty_split_folder_counts_as_missing(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_classes(root / "Train", A=10, B=10)
    make_files(root, "Val/A/", "Test/")
    index = index_folder(root)
    assert list(index.splits) == ["train"]
    assert f"{root / 'Test'}: ignoring this split, which has no images in class folders" in caplog.text


def test_fingerprint_of_a_copy_is_equal(root: Path) -> None:
    names = ("Train/A/1.png", "Train/B/22.png", "Test/A/3.png")
    print_ = index_folder(make_files(root / "one", *names)).fingerprint()
    shutil.copytree(root / "one", root / "two" / "wrapping")
    assert index_folder(root / "two").fingerprint() == print_


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "Train/A/1.png").write_text("longer than before"),
        lambda folder: (folder / "Train/A/1.png").rename(folder / "Train/A/2.png"),
        lambda folder: (folder / "Train/A").rename(folder / "Train/C"),
        lambda folder: (folder / "Train/A/1.png").rename(folder / "Train/B/1.png"),
        lambda folder: (folder / "Test").rename(folder / "Val"),
        lambda folder: (folder / "Test/A/3.png").unlink(),
        lambda folder: make_files(folder, "Test/B/4.png"),
    ],
    ids=["size", "name", "class", "label", "split", "fewer", "more"],
)
def test_fingerprint_shows_a_change(root: Path, change: Callable[[Path], object]) -> None:
    make_files(root, "Train/A/1.png", "Train/B/22.png", "Test/A/3.png")
    before = index_folder(root).fingerprint()
    change(root)
    assert index_folder(root).fingerprint() != before


def test_match_classes_counts_labels_in_the_models_classes(root: Path) -> None:
    index = index_folder(make_files(root, "Val/A/1.png", "Val/B/2.png", "Test/B/3.png"))
    matched = match_classes(index, ["B", "other", "A"])
    assert matched.classes == ("B", "other", "A")
    assert labelled(matched.splits["val"]) == {"Val/A/1.png": 2, "Val/B/2.png": 0}
    assert labelled(matched.splits["test"]) == {"Test/B/3.png": 0}
    assert matched.root == index.root
    assert matched.fingerprint() == index.fingerprint()


def test_match_classes_refuses_an_unknown_class_with_the_nearest_name(root: Path) -> None:
    index = index_folder(make_files(root, "with_mask/1.png", "WithoutMask/1.png"))
    expected = "class 'with_mask' is not one of the model's: WithMask, WithoutMask; did you mean 'WithMask'?"
    with pytest.raises(UserError) as caught:
        match_classes(index, ("WithMask", "WithoutMask"))
    assert str(caught.value) == f"{root}: {expected}"


@pytest.fixture
def photos(root: Path) -> Path:
    return make_files(root / "my photos", "b.jpg", "a.PNG", "in/c.webp", "notes.txt", ".d.png")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("b.jpg", ["b.jpg"]),
        ("notes.txt", ["notes.txt"]),
        ("", ["a.PNG", "b.jpg", "in/c.webp"]),
        ("in", ["in/c.webp"]),
        ("*", ["a.PNG", "b.jpg"]),
        ("*.jpg", ["b.jpg"]),
        ("[ab].*", ["a.PNG", "b.jpg"]),
        ("**/*", ["a.PNG", "b.jpg", "in/c.webp"]),
    ],
)
def test_find_images(photos: Path, source: str, names: list[str]) -> None:
    assert find_images(str(photos / source)) == [photos / name for name in names]


def test_a_pattern_in_a_folder_with_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "photos [1]"
    folder.mkdir()
    (folder / "a.jpg").touch()
    assert find_images(f"{folder}/*.jpg") == [folder / "a.jpg"]
    assert find_images(f"{tmp_path}/photos*/*.jpg") == [folder / "a.jpg"]


def test_find_images_in_the_home_folder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(photos))
    assert find_images("~/*.jpg") == [photos / "b.jpg"]


def test_folder_named_like_a_pattern(root: Path) -> None:
    make_files(root / "party [2024]", "1.png")
    assert find_images(str(root / "party [2024]")) == [root / "party [2024]" / "1.png"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("empty", "this folder holds no image file"),
        ("nothing.png", "no such file, and no image file of this pattern"),
        ("*.txt", "no such file, and no image file of this pattern"),
    ],
)
def test_find_images_finds_none(photos: Path, source: str, reason: str) -> None:
    make_files(photos, "empty/")
    with pytest.raises(UserError) as caught:
        find_images(str(photos / source))
    assert str(caught.value).startswith(f"source={photos / source}: {reason}; expected an image, a folder or a pattern")


def test_broken_link_is_listed_and_left_to_the_reader(root: Path) -> None:
    make_files(root, "A/1.png", "B/1.png")
    (root / "A" / "gone.png").symlink_to(root / "nowhere")
    assert index_folder(root).counts() == {"all": {"A": 2, "B": 1}}


@pytest.mark.parametrize("name", ["A\x1b[2J", "A\nB", "A\u202eB"])
def test_a_class_whose_name_cannot_be_shown_is_refused(root: Path, name: str) -> None:
    make_files(root, "Train/B/1.png")
    (root / "Train" / name).mkdir()
    (root / "Train" / name / "1.png").touch()
    with pytest.raises(UserError, match=r"the class name 'A.*' cannot be printed; rename its folder") as caught:
        index_folder(root)
    assert str(caught.value).isprintable()


def test_an_index_without_some_files(dataset: Path) -> None:
    index = index_folder(dataset)
    gone = [index.splits["train"].paths[0], index.splits["val"].paths[-1]]
    left = index.without(gone)
    assert set(index.all_images().paths) - set(left.all_images().paths) == set(gone)
    assert left.splits["train"].labels == index.splits["train"].labels[1:]
    assert left.classes == index.classes


def test_an_index_without_a_split(dataset: Path) -> None:
    index = index_folder(dataset)
    left = index.without_split("test")
    assert left.splits == {name: index.splits[name] for name in ("train", "val")}
    assert (left.root, left.classes) == (index.root, index.classes)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\nb", "x" * 256])
def test_a_class_cannot_have_the_name_of_no_folder(name: str) -> None:
    assert not is_class_name(name)
    assert is_class_name("마스크 1")


def test_train_and_val_must_have_every_class(root: Path) -> None:
    index = index_folder(make_files(root, "Train/A/1.png", "Train/B/1.png", "Val/A/1.png"))
    with pytest.raises(UserError, match=f"^{root}: no image of class B in the val split$"):
        require_classes(index)
    require_classes(index_folder(make_files(root, "Val/B/1.png")))
