"""What is said of a data set before it is used."""

import logging
import os
from pathlib import Path

import pytest
from indexes import make_files

from maskcls.data.index import index_folder
from maskcls.data.notices import report_index


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder."""
    return make_files(tmp_path, "set/") / "set"


def test_a_data_set_is_described_by_what_is_left_out(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_files(root, "data/with_mask/1.png", "data/With_Mask/1.png", "data/B/1.png", "data/B /2.png", "data/4.png")
    make_files(root, "data/B/a.txt", "data/B/b.txt", "data/B/c.md", "data/B/.d")
    caplog.set_level(logging.INFO)
    report_index(index_folder(root), root)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", f"using the data set in {root / 'data'}"),
        ("WARNING", "left out, image outside of the class folders: 4.png"),
        ("INFO", "left out, hidden file: B/.d"),
        ("WARNING", "left out, not an image: 3 (2 .txt, 1 .md, such as B/a.txt)"),
        (
            "WARNING",
            f"{root / 'data'}: the classes 'B', 'B ' differ by case, spaces or separators only; to join them, type "
            """'data.class_map={"B ": B}'""",
        ),
        (
            "WARNING",
            f"{root / 'data'}: the classes 'With_Mask', 'with_mask' differ by case, spaces or separators only; to join "
            "them, type 'data.class_map={with_mask: With_Mask}'",
        ),
    ]


@pytest.mark.parametrize(
    ("names", "warned"), [(("images", "masks"), ["images"]), (("0", "1"), []), (("cat", "dog"), [])]
)
def test_a_class_whose_name_says_nothing_is_pointed_out(
    root: Path, names: tuple[str, ...], warned: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    report_index(index_folder(make_files(root, *(f"{name}/1.png" for name in names))), root)
    assert caplog.messages == [
        f"{root}: '{name}' is a class here; to leave it out, type 'data.class_map={{{name}: null}}'" for name in warned
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("Train/A/1.png", "valid/A/1.png", "TEST/A/1.png"), []),
        (("A/1.png", "B/1.png"), []),
        (("train/A/1.png", "test_set/A/1.png"), ["split folders: 'train' is train, 'test_set' is test"]),
        (
            ("seg_train/seg_train/A/1.png", "dev/A/1.png"),
            ["split folders: 'seg_train/seg_train' is train, 'dev' is val"],
        ),
    ],
)
def test_split_folders_with_other_names_are_said(
    root: Path, files: tuple[str, ...], said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    report_index(index_folder(make_files(root, *files)), root)
    assert caplog.messages == said


def test_folders_that_are_named_as_splits_are_said(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    make_files(root, "a/A/1.png", "b/A/1.png")
    report_index(index_folder(root, splits={"train": "a", "test": "b"}), root)
    assert caplog.messages == ["split folders: 'a' is train, 'b' is test"]


@pytest.mark.parametrize("split", ["", "Train/"])
def test_class_folders_that_unicode_spells_in_two_ways_are_said(
    root: Path, split: str, caplog: pytest.LogCaptureFixture
) -> None:
    files = [f"{split}caf\u00e9/{number}.png" for number in range(3)]
    make_files(root, *files, f"{split}cafe\u0301/9.png", f"{split}tea/1.png")
    index = index_folder(root)
    assert index.classes == ("caf\u00e9", "tea")
    report_index(index, root)
    assert caplog.messages == [
        f"{root}: the folders '{split}cafe\u0301' in NFD (1 image), '{split}caf\u00e9' in NFC (3 images) are one "
        "class: Unicode has several spellings for their name"
    ]


def test_a_class_may_be_spelled_otherwise_in_another_split(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    report_index(index_folder(make_files(root, "Train/caf\u00e9/1.png", "Test/cafe\u0301/1.png")), root)
    assert caplog.messages == []


def test_hard_links_are_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_files(root, "A/1.png", "A/3.png", "B/1.png")
    report_index(index_folder(root), root)
    assert caplog.messages == []
    os.link(root / "A/1.png", root / "B/2.png")
    report_index(index_folder(root), root)
    os.link(root / "A/1.png", root / "B/4.png")
    report_index(index_folder(root), root)
    assert caplog.messages == [
        f"{root}: 1 file is a hard link to another one, such as B/2.png to A/1.png: each counts as a file, as copies "
        "do",
        f"{root}: 2 files are each a hard link to another one, such as B/2.png to A/1.png: each counts as a file, as "
        "copies do",
    ]


def test_a_hard_link_from_elsewhere_is_no_news(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_files(root, "A/1.png", "B/1.png")
    os.link(root / "A/1.png", tmp_path / "backup.png")
    report_index(index_folder(root), root)
    assert caplog.messages == []
