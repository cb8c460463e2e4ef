"""Reasons why files are left out, and their summary."""

import logging

import pytest

from maskcls.data.left_out import is_system, report_left_out
from maskcls.wording import counted


@pytest.mark.parametrize(
    "name", ["WithMask", "eaDir", "recycle", "recycled", "test", "lost", "trash", "1.png", "part", "a.part.png"]
)
def test_ordinary_names_are_not_those_of_systems(name: str) -> None:
    assert not is_system(name)


def test_what_is_left_out_is_summarised_by_kind_and_ending(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    report_left_out(
        {
            "A/a.txt": "not an image: a text file",
            "A/b.TXT": "not an image: empty",
            "A/c": "not an image: unknown content",
            "A/@eaDir": "system folder: 40 files",
            "B/@eaDir": "system folder: 1 file",
            "new\nline.png": "image outside of the class folders",
            "other.PNG": "image outside of the class folders",
        }
    )
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "left out, not an image: 3 (2 .txt, 1 without an ending, such as A/a.txt)"),
        ("INFO", "left out, system folder: 2 (41 files, such as A/@eaDir)"),
        ("WARNING", "left out, image outside of the class folders: 2 (2 .png, such as 'new\\nline.png')"),
    ]


def test_the_summary_says_how_much_a_folder_holds(caplog: pytest.LogCaptureFixture) -> None:
    report_left_out(
        {
            "train_aug": "folder beside the splits: 40 files",
            "C": "class folder without images: 1 hidden file",
            "D": "empty folder",
        }
    )
    assert caplog.messages == [
        "left out, folder beside the splits: train_aug (40 files)",
        "left out, class folder without images: C (1 hidden file)",
        "left out, empty folder: D",
    ]


@pytest.mark.parametrize(("number", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_numbers_have_the_right_form_of_their_noun(number: int, text: str) -> None:
    assert counted(number, "file") == text
