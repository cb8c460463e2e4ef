"""The audit of the real data set, whose photographs are known, and of another with masks that were drawn on."""

from pathlib import Path

import pytest
from tables import read_table

from maskcls import cli
from maskcls.data.index import index_folder
from maskcls.data.photographs import published_groups

pytestmark = pytest.mark.realdata


def test_copies_are_found_without_a_look_at_names(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "facemask12k"
    assert cli.main("audit", [f"data.root={root}", f"hydra.run.dir={tmp_path / 'audit'}", "fail_on=leak"]) == 4
    known = published_groups(index_folder(root))
    assert known is not None
    links = read_table(tmp_path / "audit" / "links.csv")
    right = [link for link in links if known[link["first"]].group == known[link["second"]].group]
    linked = {link[end] for link in right for end in ("first", "second")}
    masked = [path for path in known if path.startswith("Validation/WithMask/")]
    assert sum(path in linked for path in masked) >= 0.985 * len(masked)  # two of the 400 are black
    # most of these show one photograph, too, cropped twice: see docs/results.md
    assert len(links) - len(right) <= 0.009 * len(links)


def test_a_mask_that_was_drawn_on_makes_a_related_picture(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "wild_dev"
    assert cli.main("audit", [f"data.root={root}", f"hydra.run.dir={tmp_path / 'audit'}"]) == 0
    links = read_table(tmp_path / "audit" / "links.csv")

    def person(path: str) -> str:
        return Path(path).stem.removesuffix("-with-mask")

    pairs = [link for link in links if person(link["first"]) == person(link["second"])]
    assert len(pairs) >= 280
    assert sum(link["evidence"] == "edited" for link in pairs) >= 0.98 * len(pairs)
