"""A number and its noun agree."""

import pytest

from maskcls.wording import counted, named, shortened


@pytest.mark.parametrize(("number", "words"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1000, "1000 files")])
def test_a_noun_has_the_number_that_it_is_counted_with(number: int, words: str) -> None:
    assert counted(number, "file") == words


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("WithMask", "WithMask"),
        ("no_mask-2", "no_mask-2"),
        ("마스크", "마스크"),
        ("with mask", "'with mask'"),
        ("WithMask ", "'WithMask '"),
        ("cats, dogs", "'cats, dogs'"),
        ("", "''"),
    ],
)
def test_a_name_whose_ends_cannot_be_seen_is_in_quotes(name: str, shown: str) -> None:
    assert named(name) == shown


def test_of_a_long_path_the_end_is_shown() -> None:
    assert [shortened("/a/bc.png", limit) for limit in (9, 8)] == ["/a/bc.png", "...c.png"]
