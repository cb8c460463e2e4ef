import errno
import logging
import shutil
import threading
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from images import write_dataset

from maskcls.config import AnyDataConfig, FaceMask12KConfig, FolderConfig, SyntheticConfig
from maskcls.data import download, synthetic
from maskcls.data.decode import decode_image
from maskcls.data.index import Index, index_folder
from maskcls.data.sources import index_of_training, open_dataset, require_dataset
from maskcls.errors import UserError

DRAWN = f"v{synthetic.DRAWING_VERSION}_seed3_6_4_2"


def common(root: Path) -> dict[str, Any]:
    return {
        "root": root,
        "positive_class": None,
        "batch_size": 4,
        "eval_batch_size": 4,
        "input_size": 16,
        "normalization": "study",
        "val_fraction": 0.25,
        "test_fraction": 0.25,
        "split_seed": 0,
        "split": "as_shipped",
        "groups": None,
        "sampling": "auto",
        "cache_dir": root / "cache",
        "on_bad_image": "error",
        "class_map": None,
        "splits": None,
        "cache_gb": None,
        "workers": None,
        "resident": "auto",
    }


def open_index(config: AnyDataConfig) -> Index:
    """List the files of a data set, without their groups."""
    return open_dataset(config)[0]


def folder(root: Path, **changes: Any) -> FolderConfig:
    return FolderConfig(**(common(root) | changes), name="folder")


def facemask12k(root: Path, *, download: bool = False) -> FaceMask12KConfig:
    return FaceMask12KConfig(**common(root), name="facemask12k", download=download)


def drawn(root: Path, seed: int = 3, train_images: int = 6) -> SyntheticConfig:
    return SyntheticConfig(
        **common(root), name="synthetic", seed=seed, train_images=train_images, val_images=4, test_images=2
    )


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that data sets have been drawn into."""
    begun: list[Path] = []
    draw = synthetic.write_dataset

    def write(root: Path, *arguments: Any, **options: Any) -> None:
        begun.append(root)
        draw(root, *arguments, **options)

    monkeypatch.setattr(synthetic, "write_dataset", write)
    return begun


def test_missing_folder_names_the_ways_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        require_dataset(folder(tmp_path / "none"))
    assert str(caught.value) == (
        f"data.root={tmp_path / 'none'}: no such folder; data.root=FOLDER names a folder of class folders, "
        "data=facemask12k is a public one, data=synthetic draws faces to try the program with"
    )


def test_missing_public_data_set_names_the_ways_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        require_dataset(facemask12k(tmp_path / "none"))
    assert str(caught.value) == (
        f"data.root={tmp_path / 'none'}: no such folder; data.download=true fetches it from Kaggle, "
        "data.root=FOLDER (or MASKCLS_DATA) names a copy, data=synthetic draws faces to try the program with"
    )


def test_file_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_text("packed")
    with pytest.raises(UserError, match="no such folder"):
        require_dataset(folder(tmp_path / "set.zip"))


@pytest.mark.parametrize("make", [folder, facemask12k])
def test_open_dataset_of_a_missing_folder(tmp_path: Path, make: Any) -> None:
    with pytest.raises(UserError, match=r"no such folder; .*data=synthetic draws"):
        open_index(make(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("make", [folder, facemask12k])
def test_folder_that_is_there_satisfies(tmp_path: Path, make: Any) -> None:
    require_dataset(make(tmp_path))


def test_a_data_set_that_will_be_downloaded_or_drawn_need_not_exist(tmp_path: Path) -> None:
    require_dataset(facemask12k(tmp_path / "none", download=True))
    require_dataset(drawn(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("make", [folder, facemask12k])
def test_open_dataset_lists_a_folder(dataset: Path, make: Any) -> None:
    assert open_index(make(dataset)) == index_folder(dataset)


def test_open_dataset_cuts_missing_splits_as_configured(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", {"": 8})
    first, other = (open_index(folder(root, split_seed=seed)) for seed in (0, 1))
    for index in (first, other):
        assert {name: len(split) for name, split in index.splits.items()} == {"train": 8, "val": 4, "test": 4}
    assert first != other


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"": 8}, "has no splits: they are drawn at random (data.split_seed=0)"),
        ({"Train": 8}, "has no val split: a random part of train becomes it (data.split_seed=0)"),
    ],
)
def test_a_random_split_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, counts: dict[str, int], message: str
) -> None:
    caplog.set_level(logging.INFO)
    root = write_dataset(tmp_path / "set", counts)
    open_index(folder(root))
    assert f"{root} {message}" in caplog.messages


def test_the_data_set_is_downloaded_only_if_asked_for(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[Path] = []

    def fetch(root: Path) -> None:
        fetched.append(root)
        root.symlink_to(dataset)

    monkeypatch.setattr(download, "download_facemask12k", fetch)
    counts = open_index(facemask12k(tmp_path / "set", download=True)).counts()
    assert fetched == [tmp_path / "set"]
    assert counts == index_folder(dataset).counts()
    open_index(facemask12k(tmp_path / "set"))
    assert fetched == [tmp_path / "set"]


def test_synthetic_faces_are_drawn_as_configured(tmp_path: Path) -> None:
    index = open_index(drawn(tmp_path / "drawn"))
    assert index.root == tmp_path / "drawn" / DRAWN
    assert index.counts() == {
        "train": {"WithMask": 3, "WithoutMask": 3},
        "val": {"WithMask": 2, "WithoutMask": 2},
        "test": {"WithMask": 1, "WithoutMask": 1},
    }
    synthetic.write_dataset(tmp_path / "again", 3, {"Train": 6})
    name = "Train/WithMask/1.png"
    np.testing.assert_array_equal(decode_image(index.root / name), decode_image(tmp_path / "again" / name))


def test_synthetic_faces_are_drawn_once(tmp_path: Path, drawings: list[Path]) -> None:
    first = open_index(drawn(tmp_path / "drawn"))
    assert len(drawings) == 1
    assert open_index(drawn(tmp_path / "drawn")) == first
    assert len(drawings) == 1


@pytest.mark.parametrize("changes", [{"seed": 4}, {"train_images": 8}])
def test_other_synthetic_faces_are_kept_apart(tmp_path: Path, changes: dict[str, int]) -> None:
    first, other = open_index(drawn(tmp_path / "drawn")), open_index(drawn(tmp_path / "drawn", **changes))
    assert first.root != other.root
    assert first.fingerprint() != other.fingerprint()
    assert open_index(drawn(tmp_path / "drawn")).fingerprint() == first.fingerprint()


def test_a_changed_drawing_is_drawn_anew(tmp_path: Path, drawings: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_index(drawn(tmp_path / "drawn"))
    monkeypatch.setattr(synthetic, "DRAWING_VERSION", synthetic.DRAWING_VERSION + 1)
    other = open_index(drawn(tmp_path / "drawn"))
    assert len(drawings) == 2
    assert first.root != other.root
    assert first.root.is_dir()


def test_killed_drawers_folder_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = open_index(drawn(tmp_path / "whole")).fingerprint()
    draw = synthetic.write_dataset

    def die(root: Path, seed: int, *_: Any, **__: Any) -> NoReturn:
        draw(root, seed, {"Train": 2, "Stray": 2})
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "write_dataset", die)
        with pytest.raises(KeyboardInterrupt):
            open_index(drawn(tmp_path / "set"))
    assert not (tmp_path / "set" / DRAWN).exists()
    assert list((tmp_path / "set").rglob("Stray/*/*.png"))
    assert open_index(drawn(tmp_path / "set")).fingerprint() == whole
    assert not list((tmp_path / "set").rglob("Stray"))


def test_threads_that_ask_at_once_draw_once(tmp_path: Path, drawings: list[Path]) -> None:
    barrier, found = threading.Barrier(2), []

    def ask() -> None:
        barrier.wait(60)
        found.append(open_index(drawn(tmp_path / "drawn")).fingerprint())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drawings) == 1
    assert found == [open_index(drawn(tmp_path / "drawn")).fingerprint()] * 2


def test_drawn_faces_are_opened_without_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_index(drawn(tmp_path / "drawn"))
    monkeypatch.setattr("filelock.FileLock", None)
    monkeypatch.setattr(Path, "mkdir", None)
    assert open_index(drawn(tmp_path / "drawn")) == first


def test_folder_that_cannot_be_made_for_drawing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    fault = "cannot write in this folder: File exists; data.root=FOLDER names another one to draw in"
    with pytest.raises(UserError, match=f"^data.root={tmp_path / 'file'}: {fault}$"):
        open_index(drawn(tmp_path / "file"))


def test_folder_that_cannot_be_written_for_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock", refuse)
    fault = "cannot write in this folder: Read-only file system; data.root=FOLDER names another one to draw in"
    with pytest.raises(UserError, match=f"^data.root={tmp_path / 'drawn'}: {fault}$"):
        open_index(drawn(tmp_path / "drawn"))


@pytest.mark.parametrize("found", ["round", "1.png", "run.json", "v1_seed0_1_2_3_mine"])
def test_faces_are_not_drawn_into_a_folder_of_something_else(tmp_path: Path, found: str) -> None:
    root = tmp_path / "my shapes"
    (root / found).mkdir(parents=True)
    for check in (require_dataset, open_dataset):
        with pytest.raises(UserError) as caught:
            check(drawn(root))
        assert str(caught.value) == (
            f"data.root={root}: data=synthetic draws faces in a folder of their own, but this one holds '{found}'; to "
            f"train on the images in it, type data=folder data.root='{root}' and no data=synthetic; to draw faces, "
            "leave data.root out or name a new folder"
        )
    assert [path.name for path in root.iterdir()] == [found]


def test_faces_are_drawn_beside_other_drawn_faces_and_hidden_files(tmp_path: Path) -> None:
    root = open_index(drawn(tmp_path / "drawn")).root.parent
    for name in (".DS_Store", f".{DRAWN}.partial", "v0_seed12_4_2_2.lock"):
        (root / name).touch()
    assert open_index(drawn(root, seed=4)).root == root / DRAWN.replace("seed3", "seed4")


def test_drawn_faces_in_a_folder_of_images_are_no_class(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", {"": 6})
    open_index(drawn(tmp_path / "drawn")).root.rename(root / DRAWN)
    shutil.copytree(root / DRAWN, root / "WithMask" / DRAWN)
    index = open_index(folder(root))
    assert index.classes == ("WithMask", "WithoutMask")
    assert sum(map(len, index.splits.values())) == 12
    reason = "folder of drawn faces: 12 files"
    assert index.left_out == {DRAWN: reason, f"WithMask/{DRAWN}": reason}


def test_drawn_faces_can_be_opened_as_a_folder(tmp_path: Path) -> None:
    root = open_index(drawn(tmp_path / "drawn")).root
    assert open_index(folder(root.parent)).root == root


def groups_table(path: Path, groups: dict[str, str]) -> Path:
    path.write_text("path,group,evidence\n" + "".join(f"{name},{group},\n" for name, group in groups.items()))
    return path


def test_a_grouped_split_needs_to_know_the_groups(dataset: Path) -> None:
    with pytest.raises(UserError, match=r"data.split=grouped needs data.groups=FILE.*maskcls-audit data.root="):
        open_dataset(folder(dataset, split="grouped"))


def test_a_grouped_split_has_no_group_in_two_splits(dataset: Path, tmp_path: Path) -> None:
    paths = index_folder(dataset).all_images().paths
    groups = {path: f"{path.split('/')[1]}-{i % 12}" for i, path in enumerate(paths)}
    table = groups_table(tmp_path / "groups.csv", groups)
    index, found = open_dataset(folder(dataset, split="grouped", groups=table))
    assert found is not None
    assert {path: membership.group for path, membership in found.items()} == groups
    sides = [{groups[path] for path in index.splits[name].paths} for name in ("train", "val", "test")]
    assert not sides[0] & sides[1]
    assert not sides[1] & sides[2]
    assert not sides[0] & sides[2]
    assert set.union(*sides) == set(groups.values())
    assert [len(index.splits[name]) for name in ("val", "test")] == [len(sides[1]), len(sides[2])]


def test_drawn_faces_are_groups_of_their_own(tmp_path: Path) -> None:
    index, groups = open_dataset(drawn(tmp_path / "drawn"))
    assert groups is not None
    assert len({membership.group for membership in groups.values()}) == sum(map(len, index.splits.values()))


def test_other_images_than_the_public_ones_have_no_known_groups(
    dataset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_dataset(facemask12k(dataset))[1] is None
    assert caplog.messages == [
        f"{dataset} is not facemask12k, whose settings are used: for your own images, type "
        f"data=folder data.root={dataset}"
    ]


def test_the_files_of_a_training_are_found_again(tmp_path: Path) -> None:
    config = folder(write_dataset(tmp_path / "set", {"": 8}))
    index = open_index(config)
    assert index_of_training(config, index.fingerprint()) == index
    assert index_of_training(config, "0123") is None
    for entry in (tmp_path / "set").iterdir():
        shutil.rmtree(entry)
    assert index_of_training(config, index.fingerprint()) is None  # no class folders
    shutil.rmtree(tmp_path / "set")
    assert index_of_training(config, index.fingerprint()) is None


def test_drawn_files_of_a_training_are_found_and_not_drawn_again(tmp_path: Path) -> None:
    config = drawn(tmp_path / "drawn")
    assert index_of_training(config, "0123") is None
    assert not (tmp_path / "drawn").exists()
    index = open_index(config)
    assert index_of_training(config, index.fingerprint()) == index
