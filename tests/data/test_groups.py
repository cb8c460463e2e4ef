"""Groups: tables of them, those of the public data set, and the sampling weights that they give."""

import csv
import hashlib
from pathlib import Path

import pytest
from images import CLASSES, write_dataset
from indexes import index_of

from maskcls.data import groups as module
from maskcls.data.groups import Membership, published_groups, read_groups, sampling_weights, seen_in_training
from maskcls.data.index import index_folder
from maskcls.errors import UserError


def test_weights_make_classes_and_their_groups_and_the_files_of_a_group_count_alike() -> None:
    groups = {"a/1": "a1", "a/2": "a1", "a/3": "a1", "a/4": "a2", "b/1": "b1", "b/2": "b2"}
    split = index_of({"all": {path: int(path[0] == "b") for path in groups}}).splits["all"]
    weights = sampling_weights(split, {path: Membership(group) for path, group in groups.items()})
    assert weights == pytest.approx([1 / 12, 1 / 12, 1 / 12, 1 / 4, 1 / 4, 1 / 4])


def test_a_group_of_two_classes_counts_in_each_in_proportion_to_its_files() -> None:
    groups = {"a/1": "both", "a/2": "both", "a/3": "a", "b/1": "both", "b/2": "b"}
    split = index_of({"all": {path: int(path[0] == "b") for path in groups}}).splits["all"]
    weights = sampling_weights(split, {path: Membership(group) for path, group in groups.items()})
    assert weights == pytest.approx([0.1, 0.1, 0.3, 0.125, 0.375])


def test_files_whose_group_was_trained_on_are_counted() -> None:
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
        "a/1.png": Membership("g1", is_original=True),
        "사진/é.png": Membership("g2", is_original=False),
    }


def test_names_that_are_not_utf8_are_found_in_a_table(tmp_path: Path) -> None:
    index = index_of({"train": {"a/\udcff.png": 0}})
    assert read_groups(table(tmp_path / "groups.csv", "path,group\na/\\udcff.png,g1\n"), index) == {
        "a/\udcff.png": Membership("g1")
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a table with the columns path and group"),
        ("file,group\na/1.png,g1\n", "expected a table with the columns path and group"),
        ("path,group\nb/1.png,g1\n", "lacks 2 of 2 files of /nowhere, such as a/1.png"),
        ("path,group\na/1.png,g1\n", "lacks 1 of 2 files of /nowhere, such as a/2.png"),
        ("path,group\na/1.png,g1\na/2.png,\n", "1 file without a group, such as a/2.png"),
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


def test_the_table_of_the_public_data_set_is_complete() -> None:
    rows = published()
    assert len(rows) == 11792
    assert len({row["group"] for row in rows if row["class"] == "WithMask"}) == 642
    assert len({row["group"] for row in rows if row["class"] == "WithoutMask"}) == 5820


# files that show one photograph, by eye: crops of it that overlap, or neighbours in it
ONE_PHOTOGRAPH = {
    "WithMask": [(61, 62), (1021, 1022), (1064, 1372), (1572, 1573)],
    "WithoutMask": [
        (113, 114), (252, 254), (253, 254), (292, 293), (306, 307), (765, 766), (817, 818), (1435, 1436), (2194, 2195),
        (3118, 3119), (3424, 3425), (3484, 3485), (3711, 3712), (4048, 4049), (4241, 4242), (4286, 4287), (4500, 4501),
        (4613, 4614), (5117, 5118), (5334, 5335), (5385, 5386), (5408, 5409), (5430, 5431), (5548, 5549), (5617, 5618),
        (5763, 5764),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("label", "pair"), [(label, pair) for label, pairs in ONE_PHOTOGRAPH.items() for pair in pairs]
)
def test_crops_of_one_photograph_are_one_group(label: str, pair: tuple[int, int]) -> None:
    names = {f"{number}.png" for number in pair}
    found = [row["group"] for row in published() if row["class"] == label and row["file"] in names]
    assert len(found) == 2
    assert len(set(found)) == 1


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
    originals = [path for path, membership in known.items() if membership.is_original]
    assert len(originals) == 893 + 5909


def test_other_files_are_not_taken_for_the_public_ones(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", {"Train": 6, "Validation": 4})
    assert published_groups(index_folder(root)) is None


def test_files_of_the_public_data_set_are_known_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_dataset(tmp_path / "set", {"": 3})
    index = index_folder(root)
    rows = ["split,class,file,sha256,group"]
    for number, path in enumerate(index.all_images().paths):
        digest = hashlib.sha256((root / path).read_bytes()).hexdigest()
        rows.append(f"Train,WithMask,Augmented_{number}.png,{digest},g{number // 2}")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "facemask12k.csv").write_text("\n".join(rows))
    monkeypatch.setattr("maskcls.data.groups.resources.files", lambda package: tmp_path / "package")
    known = published_groups(index)
    assert known is not None
    assert [membership.group for membership in known.values()] == ["g0", "g0", "g1", "g1", "g2", "g2"]
    assert not any(membership.is_original for membership in known.values())
