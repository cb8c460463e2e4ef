import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from configuration import config_of
from indexes import labelled, make_classes, make_files

from maskcls.data.index import (
    index_folder,
    index_unlabelled,
    is_class_name,
    match_classes,
    require_classes,
)
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


@pytest.mark.parametrize("wrapping", ["Face Mask Dataset", "archive (1)/1"])
@pytest.mark.parametrize("inside", [("Train/A/1.png", "Val/A/1.png"), ("A/1.png", "B/1.png")])
def test_lone_wrapping_folder_is_descended(root: Path, wrapping: str, inside: tuple[str, ...]) -> None:
    make_files(root / wrapping, *inside)
    make_files(root, "readme.txt", ".git/config/1.png", "__MACOSX/A/._1.png")
    index = index_folder(root)
    assert index.root == root / wrapping
    assert index.all_images().paths == inside
    up = "../" * (1 + wrapping.count("/"))
    assert index.left_out == {
        f"{up}.git": "hidden folder: 1 file",
        f"{up}__MACOSX": "system folder: 1 file",
        f"{up}readme.txt": "not an image: a text file",
    }


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


def test_folders_beside_the_splits_are_left_out(root: Path) -> None:
    make_files(root, "Train/A/1.png", "Test/A/1.png", "extra/A/1.png", "extra/A/2.png", "more/A/1.png")
    index = index_folder(root)
    assert index.all_images().paths == ("Train/A/1.png", "Test/A/1.png")
    assert index.left_out == {"extra": "folder beside the splits: 2 files", "more": "folder beside the splits: 1 file"}


def test_images_in_folders_of_a_class_folder_belong_to_the_class(root: Path) -> None:
    make_files(root, "A/1.png", "A/deep/er/2.jpg", "B/deep/3.png")
    assert labelled(index_folder(root).splits["all"]) == {"A/1.png": 0, "A/deep/er/2.jpg": 0, "B/deep/3.png": 1}


def test_what_is_no_image_is_left_out_with_its_reason(root: Path) -> None:
    make_files(root, "A/1.PNG", "A/notes.txt", "A/.2.png", "A/Thumbs.db", "B/3.jpeg", "B/png", "empty/")
    index = index_folder(root)
    assert index.splits["all"].paths == ("A/1.PNG", "B/3.jpeg")
    assert index.classes == ("A", "B")
    assert index.left_out == {
        "A/.2.png": "hidden file",
        "A/Thumbs.db": "system file",
        "A/notes.txt": "not an image: a text file",
        "B/png": "not an image: a text file",
        "empty": "empty folder",
    }


def test_copies_in_hidden_folders_are_left_out(root: Path) -> None:
    make_files(root, "A/1.png", "A/.ipynb_checkpoints/1-checkpoint.png", "B/2.png", ".hidden/3.png", "B/__MACOSX/2.png")
    index = index_folder(root)
    assert index.splits["all"].paths == ("A/1.png", "B/2.png")
    assert index.left_out == {
        ".hidden": "hidden folder: 1 file",
        "A/.ipynb_checkpoints": "hidden folder: 1 file",
        "B/__MACOSX": "system folder: 1 file",
    }


def test_a_class_is_used_whatever_its_files_are_called(root: Path) -> None:
    make_files(root, "A/1.png", "C/3.jfif")
    content = cv2.imencode(".jpg", np.zeros((8, 8, 3), dtype=np.uint8))[1].tobytes()
    (root / "B").mkdir()
    (root / "B" / "2.jpg_large").write_bytes(content)
    (root / "B" / "2").write_bytes(content)
    assert labelled(index_folder(root).splits["all"]) == {"A/1.png": 0, "B/2": 1, "B/2.jpg_large": 1, "C/3.jfif": 2}


def test_a_class_folder_of_hidden_files_is_not_called_empty(root: Path) -> None:
    make_files(root, "A/1.png", "B/1.png", "C/.a.jpg", "C/.DS_Store", "C/@eaDir/1.jpg", "D/")
    left_out = index_folder(root).left_out
    assert left_out["C"] == "class folder without images: 2 hidden files, 1 system folder"
    assert left_out["D"] == "empty folder"


def test_a_class_never_vanishes(root: Path) -> None:
    make_files(root, "A/1.png", "B/1.png", "C d/1.raw", "C d/2.RAW", "C d/3")
    with pytest.raises(UserError) as caught:
        index_folder(root)
    assert str(caught.value) == (
        f"{root}: the class folder 'C d' has 3 files but no image (2 .raw, 1 without an ending: a text file); "
        """'data.class_map={"C d": null}' leaves it out"""
    )
    index = index_folder(root, {"C d": None})
    assert index.classes == ("A", "B")
    assert index.left_out == {"C d": "folder excluded by data.class_map: 3 files"}


def test_a_class_of_links_that_lead_nowhere_does_not_vanish_either(root: Path) -> None:
    make_files(root, "A/1.png", "B/1.png", "C/")
    (root / "C" / "1.png").symlink_to(root / "gone")
    with pytest.raises(UserError, match=r"'C' has 1 file but no image \(1 .png: .*gone does not exist\)"):
        index_folder(root)


def test_images_outside_of_the_class_folders_are_counted(root: Path) -> None:
    make_files(root, "Train/A/1.png", "Train/2.png", "Train/x.txt", "Val/A/1.png", "3.png", "labels.csv")
    assert index_folder(root).left_out == {
        "3.png": "image outside of the class folders",
        "Train/2.png": "image outside of the class folders",
        "Train/x.txt": "not an image: a text file",
        "labels.csv": "not an image: a text file",
    }


def test_a_class_map_joins_renames_and_leaves_out(root: Path) -> None:
    make_files(root, "Train/a/1.png", "Train/A /2.png", "Train/x/3.png", "Test/a/4.png", "Test/x/5.png")
    index = index_folder(root, {"A ": "both", "a": "both", "x": None})
    assert index.classes == ("both",)
    assert index.all_images().paths == ("Train/A /2.png", "Train/a/1.png", "Test/a/4.png")
    assert index.left_out == dict.fromkeys(("Test/x", "Train/x"), "folder excluded by data.class_map: 1 file")


def test_a_class_map_of_another_data_set_is_refused(root: Path) -> None:
    make_files(root, "with_mask/1.png", "other/2.png")
    with pytest.raises(UserError) as caught:
        index_folder(root, {"with_masks": "WithMask"})
    assert str(caught.value) == (
        f"data.class_map: {root} has no class folder 'with_masks'; it has 'other', 'with_mask'; "
        "did you mean 'with_mask'?"
    )


def test_a_class_map_is_matched_in_both_spellings_of_unicode(root: Path) -> None:
    make_files(root, "cafe\u0301/1.png", "tea/1.png")
    assert index_folder(root, {"caf\u00e9": "coffee"}).classes == ("coffee", "tea")


def test_a_folder_without_labels_is_listed_with_its_subfolders(root: Path) -> None:
    make_files(root, "1.png", "in/2.png", "notes.txt")
    index = index_unlabelled(root)
    assert (index.classes, labelled(index.splits["all"])) == (("",), {"1.png": 0, "in/2.png": 0})
    assert index.left_out == {"notes.txt": "not an image: a text file"}
    with pytest.raises(UserError, match="holds no image file"):
        index_unlabelled(make_files(root / "none", "notes.txt"))


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

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=f"^{root}: cannot list this folder: Permission denied$"):
        index_folder(root)


def test_empty_split_folder_counts_as_missing(root: Path) -> None:
    make_classes(root / "Train", A=10, B=10)
    make_files(root, "Val/A/", "Test/")
    index = index_folder(root)
    assert list(index.splits) == ["train"]
    assert index.left_out == {
        "Test": "split folder without images in class folders",
        "Val": "split folder without images in class folders",
        "Val/A": "empty folder",
    }


def test_images_are_listed_without_touching_them(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(root, "a/1.png", "a/2024-05-01/2.jpg", "b/3.PNG", "b/2024-05-01/4.jpg", "b/no ending")
    touched: list[str] = []

    def noted(function: Callable[..., object]) -> Callable[..., object]:
        def call(path: Path, *args: object, **options: object) -> object:
            touched.append(path.name)
            return function(path, *args, **options)

        return call

    for name in ("stat", "open", "is_file", "exists"):
        monkeypatch.setattr(Path, name, noted(getattr(Path, name)))
    index = index_folder(root, {"a": "a"})
    assert "no ending" in touched
    assert not {Path(path).name for path in index.all_images().paths} & set(touched)


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


def test_match_classes_suggests_a_class_map_that_can_be_pasted(root: Path) -> None:
    make_files(root, *(f"{name}/1.png" for name in ("with_mask", "WithoutMask", "no mask", "mask", "weared, wrongly")))
    index = index_folder(root)
    with pytest.raises(UserError) as caught:
        match_classes(index, ("WithMask", "WithoutMask"))
    typed = (
        """'data.class_map={mask: WithMask, "no mask": WithoutMask, "weared, wrongly": null, with_mask: WithMask}'"""
    )
    assert str(caught.value) == (
        f"{root}: 'mask', 'no mask', 'weared, wrongly', 'with_mask' are not classes of the model, which has "
        f"'WithMask', 'WithoutMask'; type {typed} (null leaves a folder out)"
    )
    (override,) = shlex.split(typed)
    class_map = config_of("eval", "ckpt=run", f"data.root={root}", override).data.class_map
    assert match_classes(index_folder(root, class_map), ("WithMask", "WithoutMask"), class_map).counts() == {
        "all": {"WithMask": 2, "WithoutMask": 2}
    }


def test_match_classes_says_how_to_write_a_class_map_if_no_name_is_alike(root: Path) -> None:
    index = index_folder(make_files(root, "cats/1.png", "dogs/1.png"))
    with pytest.raises(UserError) as caught:
        match_classes(index, ("WithMask", "WithoutMask"))
    assert str(caught.value) == (
        f"{root}: 'cats', 'dogs' are not classes of the model, which has 'WithMask', 'WithoutMask'; if they mean the "
        "same, say which is which, as in 'data.class_map={cats: WithMask}'; null leaves a folder out"
    )


def test_match_classes_refuses_a_class_map_to_other_classes(root: Path) -> None:
    class_map = {"mask": "WithMsk", "none": "WithoutMask"}
    index = index_folder(make_files(root, "mask/1.png", "none/1.png"), class_map)
    with pytest.raises(UserError) as caught:
        match_classes(index, ("WithMask", "WithoutMask"), class_map)
    assert str(caught.value) == (
        "data.class_map: 'mask' becomes 'WithMsk', which is not one of the model's classes: 'WithMask', 'WithoutMask'; "
        "did you mean 'WithMask'?"
    )


def test_a_dangling_link_is_named_and_removes_nothing(root: Path) -> None:
    make_files(root, "A/1.png", "B/1.png")
    (root / "A" / "gone.png").symlink_to(root / "nowhere")
    index = index_folder(root)
    assert index.counts() == {"all": {"A": 1, "B": 1}}
    assert index.left_out == {"A/gone.png": f"dangling link: {root / 'nowhere'} does not exist"}


@pytest.mark.parametrize("name", ["A\x1b[2J", "A\nB", "A\u202eB"])
def test_a_class_whose_name_cannot_be_shown_is_refused(root: Path, name: str) -> None:
    make_files(root, "Train/B/1.png")
    (root / "Train" / name).mkdir()
    (root / "Train" / name / "1.png").touch()
    with pytest.raises(UserError, match=r"the class name 'A.*' cannot be printed; rename it") as caught:
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
    with pytest.raises(UserError) as caught:
        require_classes(index)
    assert str(caught.value) == (
        f"{root}: no image of the class 'B' in the val split; to do without, type 'data.class_map={{B: null}}'"
    )
    require_classes(index_folder(make_files(root, "Val/B/1.png")))


def test_a_class_that_is_spelt_otherwise_in_another_split_is_joined_and_not_dropped(root: Path) -> None:
    index = index_folder(make_files(root, "Train/A/1.png", "Train/B c/1.png", "Val/A/1.png", "Val/b_c/1.png"))
    with pytest.raises(UserError) as caught:
        require_classes(index)
    assert str(caught.value) == (
        f"{root}: no image of the class 'b_c' in the train split; to join them, type "
        """'data.class_map={b_c: "B c"}'"""
    )
