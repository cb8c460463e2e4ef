"""Splits that are cut class by class, and splits that keep all files of a group on one side."""

from collections import Counter
from pathlib import Path

import pytest
from indexes import index_of, labelled, make_classes, make_files

from maskcls.data.groups import Membership
from maskcls.data.index import Index, Split, index_folder
from maskcls.data.splits import cut_missing_splits, split_by_group
from maskcls.errors import UserError

FOUR = ("A/1.png", "A/2.png", "A/3.png", "A/4.png")


def cut(index: Index, val: float = 0.1, test: float = 0.1, seed: int = 0) -> Index:
    return cut_missing_splits(index, val_fraction=val, test_fraction=test, seed=seed)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder."""
    return make_files(tmp_path, "set/") / "set"


@pytest.fixture
def pool() -> tuple[Index, dict[str, Membership]]:
    """One class with 40 groups of five files, an original among them, and one with 60 groups of one file."""
    labels, groups = {}, {}
    for number in range(40):
        for copy in range(5):
            labels[f"a/{number}_{copy}"] = 0
            groups[f"a/{number}_{copy}"] = Membership(f"a{number}", is_original=copy == 3)
    for number in range(60):
        labels[f"b/{number}"] = 1
        groups[f"b/{number}"] = Membership(f"b{number}")
    return index_of({"all": labels}), groups


def test_without_split_folders_each_class_is_cut_alike(root: Path) -> None:
    index = index_folder(make_classes(root, A=100, B=20))
    assert list(index.splits) == ["all"]
    splits = cut(index, val=0.2, test=0.1)
    assert (index.origin, splits.origin) == ("as_shipped", "random")
    assert splits.counts() == {
        "train": {"A": 70, "B": 14},
        "val": {"A": 20, "B": 4},
        "test": {"A": 10, "B": 2},
    }


def test_cut_loses_and_repeats_nothing(root: Path) -> None:
    whole = index_folder(make_classes(root, A=31, B=17, C=3))
    index = cut(whole)
    assert Counter(index.all_images().paths) == Counter(whole.splits["all"].paths)
    assert labelled(index.all_images()) == labelled(whole.splits["all"])
    assert all(count > 0 for counts in index.counts().values() for count in counts.values())
    assert all(split.paths == tuple(sorted(split.paths)) for split in index.splits.values())


def test_cut_is_a_function_of_the_seed(root: Path) -> None:
    index = index_folder(make_classes(root, A=40, B=40))
    assert cut(index, seed=1).splits == cut(index, seed=1).splits
    for name in ("train", "val", "test"):
        assert cut(index, seed=1).splits[name] != cut(index, seed=2).splits[name]


def test_cut_draws_each_class_for_itself(root: Path) -> None:
    test = cut(index_folder(make_classes(root, A=40, B=40)), test=0.25).splits["test"]
    numbers = {label: [path[2:] for path in test.paths if path[0] == label] for label in "AB"}
    assert numbers["A"] != numbers["B"]


def test_cut_without_a_test_fraction_makes_no_test_split(root: Path) -> None:
    index = cut(index_folder(make_classes(root, A=10, B=10)), val=0.2, test=0)
    assert index.counts() == {"train": {"A": 8, "B": 8}, "val": {"A": 2, "B": 2}}


def test_lone_train_folder_is_cut_for_validation_only(root: Path) -> None:
    whole = index_folder(make_classes(root / "Train", A=20, B=10).parent)
    index = cut(whole)
    assert index.counts() == {"train": {"A": 18, "B": 9}, "val": {"A": 2, "B": 1}}
    assert labelled(index.all_images()) == labelled(whole.splits["train"])


def test_shipped_test_split_is_kept_when_validation_is_cut(root: Path) -> None:
    whole = index_folder(make_files(make_classes(root / "Train", A=20, B=10).parent, "Test/A/1.png", "Test/B/1.png"))
    index = cut(whole)
    assert list(index.splits) == ["train", "val", "test"]
    assert index.splits["test"] == whole.splits["test"]
    assert index.counts()["val"] == {"A": 2, "B": 1}


def test_shipped_splits_are_not_cut(dataset: Path) -> None:
    index = index_folder(dataset)
    assert cut(index) == index


def test_data_set_without_a_test_folder_stays_without(root: Path) -> None:
    index = index_folder(make_files(root, "Train/A/1.png", "Train/B/1.png", "Val/A/1.png", "Val/B/1.png"))
    assert cut(index) == index


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("A/1.png", "A/2.png"), "expected at least two classes with images, found only 'A'"),
        (("Val/A/1.png", "Val/B/1.png", "Test/A/1.png"), "no training images beside val, test; .* named Train"),
        (
            ("Train/A/1.png", "Val/A/1.png", "Val/B/1.png"),
            "no image of the class 'B' in the train split; .* 'data.class_map=\\{B: null\\}'",
        ),
        (
            ("Train/A/1.png", "Train/B/1.png", "Train/C/1.png", "Val/C/2.png"),
            "no image of the classes 'A', 'B' in the val split",
        ),
        (
            ("A/1.png", "A/2.png", "B/1.png"),
            "class 'A' has 2 images, needs at least 3 for the splits; .*{A: null}' leaves",
        ),
        ((*FOUR, "B/1.png"), "class 'B' has 1 image, needs at least 3 for the splits"),
        ((*(f"Train/{name}" for name in FOUR), "Train/B/1.png"), "class 'B' has 1 image, needs at least 2"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(root: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cut(index_folder(make_files(root, *names)))


def test_class_missing_from_test_is_a_warning(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_files(root, "Train/A/1.png", "Train/B/1.png", "Val/A/1.png", "Val/B/1.png", "Test/A/1.png")
    assert cut(index_folder(root)).counts()["test"] == {"A": 1, "B": 0}
    assert "no image of class 'B' in the test split" in caplog.text


def test_the_split_is_drawn_by_group_and_class(pool: tuple[Index, dict[str, Membership]]) -> None:
    index, known = pool
    split = split_by_group(index, known, val_fraction=0.1, test_fraction=0.2, seed=0)
    assert split.counts() == {
        "train": {"WithMask": 28 * 5, "WithoutMask": 42},
        "val": {"WithMask": 4, "WithoutMask": 6},
        "test": {"WithMask": 8, "WithoutMask": 12},
    }
    assert split.origin == "grouped"
    copies = Counter(split.left_out.values())
    assert copies == {
        "same photograph as an image in val": 4 * 4,
        "same photograph as an image in test": 8 * 4,
    }
    assert not split.left_out.keys() & set(split.all_images().paths)
    groups = {name: {known[path].group for path in part.paths} for name, part in split.splits.items()}
    assert len(groups["train"] | groups["val"] | groups["test"]) == 100
    assert len(groups["train"]) + len(groups["val"]) + len(groups["test"]) == 100


def test_originals_are_evaluated(pool: tuple[Index, dict[str, Membership]]) -> None:
    split = split_by_group(*pool, val_fraction=0.1, test_fraction=0.2, seed=0)
    for name in ("val", "test"):
        assert all(path.endswith("_3") for path in split.splits[name].paths if path.startswith("a/"))


def test_the_split_by_group_is_a_function_of_its_seed(pool: tuple[Index, dict[str, Membership]]) -> None:
    first, same, other = (split_by_group(*pool, val_fraction=0.1, test_fraction=0.2, seed=seed) for seed in (0, 0, 1))
    assert first == same != other


def test_a_group_of_two_classes_has_a_file_of_each_on_one_side() -> None:
    labels = {f"{kind}/{number}": label for number in range(20) for label, kind in enumerate("ab")}
    known = {path: Membership(path.split("/")[1]) for path in labels}
    with pytest.raises(UserError, match="class 'WithoutMask' has 0 groups, too few to be split"):
        split_by_group(index_of({"all": labels}), known, val_fraction=0.1, test_fraction=0.1, seed=0)
    labels |= {f"c/{number}": 1 for number in range(20)}
    known |= {f"c/{number}": Membership(f"c{number}") for number in range(20)}
    split = split_by_group(index_of({"all": labels}), known, val_fraction=0.1, test_fraction=0.1, seed=0)
    pairs = [path for path in split.splits["val"].paths if path[0] in "ab"]
    assert len(pairs) == 4
    assert len({known[path].group for path in pairs}) == 2


def test_a_class_of_too_few_groups_is_refused() -> None:
    labels = {"a/1": 0, "a/2": 0, "b/1": 1, "b/2": 1, "b/3": 1}
    known = {path: Membership(path) for path in labels}
    with pytest.raises(UserError, match="class 'WithMask' has 2 groups, too few"):
        split_by_group(index_of({"all": labels}), known, val_fraction=0.1, test_fraction=0.1, seed=0)


def test_one_class_alone_is_not_split_by_group() -> None:
    index = Index(Path("/nowhere"), ("A",), {"all": Split(("a/1", "a/2"), (0, 0))})
    with pytest.raises(UserError, match="expected at least two classes with images, found only 'A'"):
        split_by_group(
            index, {path: Membership(path) for path in ("a/1", "a/2")}, val_fraction=0.1, test_fraction=0.1, seed=0
        )
