"""What is known of evaluated files, as columns."""

from pathlib import Path
from typing import IO

import numpy as np
import pytest
from images import write_image

from maskcls.data.groups import Membership
from maskcls.data.index import Index, Split
from maskcls.evaluation.facts import file_facts, trained_files

FILES = Split(("a.png", "b.png"), (0, 1))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_image(tmp_path / "a.png", np.zeros((30, 20, 3), dtype=np.uint8))
    write_image(tmp_path / "b.png", np.zeros((7, 50, 3), dtype=np.uint8))
    return tmp_path


def test_the_side_is_the_longer_one(root: Path) -> None:
    facts = file_facts(root, FILES, None, None)
    assert {name: values.tolist() for name, values in facts.items()} == {"side": [30, 50]}
    assert facts["side"].dtype == np.int64


def test_a_file_that_cannot_be_read_has_no_side(root: Path) -> None:
    (root / "b.png").write_text("not an image")
    (root / "a.png").unlink()
    assert file_facts(root, FILES, None, None)["side"].tolist() == [0, 0]


def test_groups_originals_and_what_was_trained_on_are_columns(root: Path) -> None:
    groups = {"a.png": Membership("g1", is_original=True), "b.png": Membership("g2", is_original=False)}
    facts = file_facts(root, FILES, groups, {"b.png"})
    assert {name: values.tolist() for name, values in facts.items()} == {
        "side": [30, 50],
        "group": ["g1", "g2"],
        "original": [1, 0],
        "in_train": [0, 1],
    }


def test_a_group_is_trained_on_if_one_of_its_files_is(root: Path) -> None:
    groups = {path: Membership("g1") for path in ("a.png", "b.png", "c.png")}
    assert file_facts(root, FILES, groups, {"c.png"})["in_train"].tolist() == [1, 1]
    assert file_facts(root, FILES, groups, set())["in_train"].tolist() == [0, 0]


def test_files_are_known_by_their_paths_where_groups_are_not(root: Path) -> None:
    assert file_facts(root, FILES, None, {"a.png", "c.png"})["in_train"].tolist() == [1, 0]
    # other files may show the same photographs
    assert "in_train" not in file_facts(root, FILES, None, {"c.png"})


def test_what_is_not_known_of_all_files_is_no_column(root: Path) -> None:
    groups = {"a.png": Membership("g1", is_original=True), "b.png": Membership("g2")}
    assert list(file_facts(root, FILES, groups, None)) == ["side", "group"]


def test_training_files_are_known_by_links_and_by_content(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in {"t/1": "one", "t/2": "two", "t/v": "val", "e/a": "one", "e/b": "owt", "e/d": "val"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "e" / "c").symlink_to(tmp_path / "t" / "2")
    paths = ("a", "b", "c", "d")
    split = Split(paths, (0,) * 4)
    training = Index(tmp_path / "t", ("A",), {"train": Split(("1", "2"), (0, 0)), "val": Split(("v",), (0,))})
    evaluated = Index(tmp_path / "e", ("A",), {"all": split})
    assert trained_files(evaluated, split, training) == {"a", "c"}
    assert trained_files(evaluated, Split(("b",), (0,)), training) == {
        "c"
    }  # content is looked at where it is evaluated
    assert caplog.messages == []

    def opened(path: Path, mode: str) -> IO[bytes]:
        if path.name == "1":
            raise PermissionError
        return open(path, mode)

    monkeypatch.setattr(Path, "open", opened)
    assert trained_files(evaluated, split, training) == {"c"}
    assert caplog.messages == [
        "whether images are copies of training images is not known of all: 1 file cannot be read"
    ]
