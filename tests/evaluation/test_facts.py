"""What is known of evaluated files, as columns."""

from pathlib import Path

import numpy as np
import pytest
from images import write_image

from maskcls.data.groups import Membership
from maskcls.data.index import Split
from maskcls.evaluation.facts import file_facts

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
