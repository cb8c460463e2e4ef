"""A number and its noun agree."""

import pytest

from maskcls.wording import counted


@pytest.mark.parametrize(("number", "words"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1000, "1000 files")])
def test_a_noun_has_the_number_that_it_is_counted_with(number: int, words: str) -> None:
    assert counted(number, "file") == words
