"""Which files show one photograph, and splits that keep it on one side."""

import csv
import logging
from collections import Counter
from pathlib import Path

import pytest
from images import CLASSES, write_dataset

from maskcls.data import groups as module
from maskcls.data.groups import (
    Membership,
    published_groups,
    read_groups,
    sampling_weights,
    seen_in_training,
    split_by_group,
)
from maskcls.data.index import Index, Split, index_folder
from maskcls.errors import UserError


def index_of(files: dict[str, dict[str, int]]) -> Index:
    """An index of files that are not there: label by path, by split."""
    splits = {name: Split(tuple(labels), tuple(labels.values())) for name, labels in files.items()}
    return Index(Path("/nowhere"), CLASSES, splits)


@pytest.fixture
def pool() -> tuple[Index, dict[str, Membership]]:
    """40 photographs of one class with five files each, an original among them, and 60 of one file of the other."""
    labels, known = {}, {}
    for number in range(40):
        for copy in range(5):
            labels[f"a/{number}_{copy}"] = 0
            known[f"a/{number}_{copy}"] = Membership(f"a{number}", is_original=copy == 3)
    for number in range(60):
        labels[f"b/{number}"] = 1
        known[f"b/{number}"] = Membership(f"b{number}")
    return index_of({"all": labels}), known


def test_the_split_is_drawn_by_photograph_and_class(pool: tuple[Index, dict[str, Membership]]) -> None:
    index, known = pool
    split = split_by_group(index, known, 0.1, 0.2, seed=0)
    assert split.counts() == {
        "train": {"WithMask": 28 * 5, "WithoutMask": 42},
        "val": {"WithMask": 4, "WithoutMask": 6},
        "test": {"WithMask": 8, "WithoutMask": 12},
    }
    groups = {name: {known[path].group for path in part.paths} for name, part in split.splits.items()}
    assert len(groups["train"] | groups["val"] | groups["test"]) == 100
    assert len(groups["train"]) + len(groups["val"]) + len(groups["test"]) == 100


def test_originals_are_evaluated(pool: tuple[Index, dict[str, Membership]]) -> None:
    split = split_by_group(*pool, 0.1, 0.2, seed=0)
    for name in ("val", "test"):
        assert all(path.endswith("_3") for path in split.splits[name].paths if path.startswith("a/"))


def test_the_split_is_a_function_of_its_seed(pool: tuple[Index, dict[str, Membership]]) -> None:
    first, same, other = (split_by_group(*pool, 0.1, 0.2, seed) for seed in (0, 0, 1))
    assert first == same != other


def test_a_photograph_of_two_classes_has_a_file_of_each_on_one_side() -> None:
    labels = {f"{kind}/{number}": label for number in range(20) for label, kind in enumerate("ab")}
    known = {path: Membership(path.split("/")[1]) for path in labels}
    with pytest.raises(UserError, match="class WithoutMask has 0 photographs, too few to be split"):
        split_by_group(index_of({"all": labels}), known, 0.1, 0.1, seed=0)
    labels |= {f"c/{number}": 1 for number in range(20)}
    known |= {f"c/{number}": Membership(f"c{number}") for number in range(20)}
    split = split_by_group(index_of({"all": labels}), known, 0.1, 0.1, seed=0)
    pairs = [path for path in split.splits["val"].paths if path[0] in "ab"]
    assert len(pairs) == 4
    assert len({known[path].group for path in pairs}) == 2


def test_a_class_of_too_few_photographs_is_refused() -> None:
    labels = {"a/1": 0, "a/2": 0, "b/1": 1, "b/2": 1, "b/3": 1}
    known = {path: Membership(path) for path in labels}
    with pytest.raises(UserError, match="class WithMask has 2 photographs, too few"):
        split_by_group(index_of({"all": labels}), known, 0.1, 0.1, seed=0)


def test_weights_make_classes_and_their_photographs_count_alike(pool: tuple[Index, dict[str, Membership]]) -> None:
    index, known = pool
    split = index.splits["all"]
    weights = sampling_weights(split, known)
    assert sum(weights) == pytest.approx(1)
    by_group: Counter[str] = Counter()
    for path, weight in zip(split.paths, weights, strict=True):
        by_group[known[path].group] += weight  # type: ignore[assignment]
    assert [by_group[f"a{i}"] for i in range(40)] == pytest.approx([0.5 / 40] * 40)
    assert [by_group[f"b{i}"] for i in range(60)] == pytest.approx([0.5 / 60] * 60)


def test_files_whose_photograph_was_trained_on_are_counted() -> None:
    index = index_of({"train": {"t/1": 0, "t/2": 1}, "val": {"v/1": 0, "v/2": 0, "v/3": 1}, "test": {"s/1": 1}})
    known = {path: Membership(path) for split in index.splits.values() for path in split.paths}
    known["v/2"], known["s/1"] = known["t/1"], known["t/2"]
    assert seen_in_training(index, known) == {
        "val": {"WithMask": 1, "WithoutMask": 0},
        "test": {"WithMask": 0, "WithoutMask": 1},
    }


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_groups_is_read(tmp_path: Path) -> None:
    index = index_of({"train": {"a/1.png": 0, "사진/é.png": 1}})
    text = "path,group,original\na/1.png,g1,true\n사진/é.png,g2,False\nother.png,g1,\n"
    assert read_groups(table(tmp_path / "groups.csv", text), index) == {
        "a/1.png": Membership("g1", True),
        "사진/é.png": Membership("g2", False),
    }


def test_names_that_are_no_text_are_found_in_a_table(tmp_path: Path) -> None:
    index = index_of({"train": {"a/\udcff.png": 0}})
    assert read_groups(table(tmp_path / "groups.csv", "path,group\na/\\udcff.png,g1\n"), index) == {
        "a/\udcff.png": Membership("g1")
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a table with the columns path and group"),
        ("file,group\na/1.png,g1\n", "expected a table with the columns path and group"),
        ("path,group\nb/1.png,g1\n", "2 of 2 files of /nowhere are not in it, such as a/1.png"),
        ("path,group\na/1.png,g1\n", "1 of 2 files of /nowhere are not in it, such as a/2.png"),
        ("path,group\na/1.png,g1\na/2.png,\n", "1 files have no group, such as a/2.png"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(text: str, message: str, tmp_path: Path) -> None:
    index = index_of({"train": {"a/1.png": 0, "a/2.png": 1}})
    with pytest.raises(UserError, match=message):
        read_groups(table(tmp_path / "groups.csv", text), index)


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_groups(tmp_path / "none.csv", index_of({"train": {"a": 0}}))
    (tmp_path / "bytes.csv").write_bytes(b"path,group\n\xff,g\n")
    with pytest.raises(UserError, match="cannot be read"):
        read_groups(tmp_path / "bytes.csv", index_of({"train": {"a": 0}}))


def published() -> list[dict[str, str]]:
    path = Path(module.__file__).with_name("facemask12k.csv")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_map_of_the_public_data_set_is_whole() -> None:
    rows = published()
    assert len(rows) == 11792
    assert len({row["group"] for row in rows if row["class"] == "WithMask"}) == 646
    assert len({row["group"] for row in rows if row["class"] == "WithoutMask"}) == 5845


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_files_of_the_public_data_set_are_known_by_name(suffix: str) -> None:
    files: dict[str, dict[str, int]] = {"train": {}, "val": {}, "test": {}}
    names = {"Train": "train", "Validation": "val", "Test": "test"}
    for row in published():
        path = f"{row['split']}/{row['class']}/{Path(row['file']).stem}{suffix}"
        files[names[row["split"]]][path] = CLASSES.index(row["class"])
    index = index_of(files)
    known = published_groups(index)
    assert known is not None
    assert seen_in_training(index, known) == {
        "val": {"WithMask": 400, "WithoutMask": 2},
        "test": {"WithMask": 483, "WithoutMask": 2},
    }
    originals = [path for path, photograph in known.items() if photograph.is_original]
    assert len(originals) == 893 + 5909


def test_other_files_are_not_taken_for_the_public_ones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    root = write_dataset(tmp_path / "set", {"Train": 6, "Validation": 4})
    assert published_groups(index_folder(root)) is None
    assert f"{root} is not facemask12k" in caplog.text


def test_files_of_the_public_data_set_are_known_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    root = write_dataset(tmp_path / "set", {"": 3})
    index = index_folder(root)
    rows = ["split,class,file,sha256,group"]
    for number, path in enumerate(index.all_images().paths):
        digest = hashlib.sha256((root / path).read_bytes()).hexdigest()
        rows.append(f"Train,WithMask,Augmented_{number}.png,{digest},g{number // 2}")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "facemask12k.csv").write_text("\n".join(rows))
    monkeypatch.setattr(module.resources, "files", lambda package: tmp_path / "package")
    known = published_groups(index)
    assert known is not None
    assert [photograph.group for photograph in known.values()] == ["g0", "g0", "g1", "g1", "g2", "g2"]
    assert not any(photograph.is_original for photograph in known.values())


def test_one_class_alone_is_not_split() -> None:
    index = Index(Path("/nowhere"), ("A",), {"all": Split(("a/1", "a/2"), (0, 0))})
    with pytest.raises(UserError, match="expected at least two class folders with images, found A alone"):
        split_by_group(index, {path: Membership(path) for path in ("a/1", "a/2")}, 0.1, 0.1, seed=0)
