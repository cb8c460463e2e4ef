"""The page of an audit: which pictures it shows, and that names are text in it."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from findings import inspected
from images import scene, write_image

from maskcls.audit.duplicates import EDITED, IDENTICAL_FILE, TRANSFORMED, Link, group
from maskcls.audit.files import FileFacts
from maskcls.audit.geometry import Match
from maskcls.audit.issues import Issue, list_issues
from maskcls.audit.labelled import Labelled
from maskcls.audit.report import IN_A_ROW, LEAKS, PAIRS, SHOWN_SIDE, _largest, _shrunk, _spread, write_report
from maskcls.audit.results import AuditResult, write_results
from maskcls.data.index import Index, Split

STILL = np.eye(2, 3)


def audited(root: Path, paths: dict[str, list[str]], links: list[Link]) -> AuditResult:
    """The result of an audit of files, given by split; a file is of class A if its name begins with a."""
    splits = {
        split: Split(tuple(names), tuple(0 if Path(name).name.startswith("a") else 1 for name in names))
        for split, names in paths.items()
    }
    index = Index(root, ("A", "B"), splits)
    files = index.all_images().paths
    facts = [
        FileFacts(path, 9, format="PNG", width=40, height=40, mean=(0.5,) * 3, deviation=(0.1,) * 3) for path in files
    ]
    for position, path in enumerate(files):
        if "broken" in path:
            facts[position] = FileFacts(path, 9, fault="not an image")
        else:
            write_image(root / path, scene(position, 40))
    labelled = Labelled.of(index, group(len(files), links))
    issues = list_issues(inspected(facts), labelled, links)
    reason = "there are no two classes to tell apart"
    return AuditResult(index, labelled, facts, links, [], reason, issues, [], few_features=0)


def page_of(result: AuditResult, directory: Path) -> str:
    directory.mkdir()
    write_report(directory, result, write_results(directory, result))
    return (directory / "report.html").read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """The part of a page from a heading to the next one, empty where the page has none."""
    found = re.search(rf"<h[23]>{heading}.*?(?=<h[23]>)", page, re.DOTALL)
    return found[0] if found else ""


def test_pairs_stand_where_they_belong(tmp_path: Path) -> None:
    paths = {"train": ["a0.png", "b1.png"], "val": ["a2.png", "a3.png"]}
    links = [
        Link(0, 2, TRANSFORMED, Match(np.diag([-1.0, 1, 1])[:2], 20, 0.95, 0.0)),
        Link(2, 3, EDITED, Match(STILL, 30, 0.9, 0.3)),
    ]
    page = page_of(audited(tmp_path, paths, links), tmp_path / "audit")
    across, edited = section(page, "Across splits"), section(page, "Related pictures")
    # a copy of a copy is leaked, too
    assert "a2.png<br>a0.png<br>transformed, 0.95<" in across
    assert "a3.png<br>a0.png<br>through other copies, 0.90<" in across
    assert "a2.png<br>a3.png<br>edited: 30 features agree, correlation 0.90<" in edited
    weakest = section(page, "The weakest links")
    assert weakest.index("edited") < weakest.index("transformed: 20 features agree, correlation 0.95, mirrored")
    assert section(page, "One image, several classes") == ""
    assert "Not measured: there are no two classes to tell apart." in section(page, "Shortcuts")


def test_identical_files_are_shown_across_splits_and_every_leaked_file_is_listed(tmp_path: Path) -> None:
    count = LEAKS + 2
    paths = {"train": ["a.png"], "val": [f"a{i}.png" for i in range(count)]}
    links = [Link(0, i, IDENTICAL_FILE) for i in range(1, count + 1)]
    shown = section(page_of(audited(tmp_path, paths, links), tmp_path / "audit"), "Across splits")
    pictures, listed = shown.split("<details>")
    assert f"the first {LEAKS} of {count} are shown" in pictures
    assert pictures.count('<figure class="pair">') == LEAKS
    assert "a0.png<br>a.png<br>identical file, 1.00" in pictures
    assert f"All {count} leaked files" in listed
    assert '<table class="paths">' in listed
    assert all(f"<td>a{i}.png</td><td>a.png</td><td>identical file</td>" in listed for i in range(count))


def test_files_to_look_at_are_shown_the_worst_first(tmp_path: Path) -> None:
    result = audited(tmp_path, {"all": [f"a{i}.png" for i in range(PAIRS + 2)]}, [])
    issues = [Issue(i, "quality", "blurred", "note", 1 - i / 99, detail=f"blur {i}") for i in range(PAIRS + 2)]
    page = page_of(dataclasses.replace(result, issues=issues), tmp_path / "audit")
    shown = section(page, "Blurred")
    assert shown.count("<img") == PAIRS
    assert shown.index("a0.png<br>blur 0") < shown.index("a1.png<br>blur 1")
    assert "and 2 more" in shown
    assert section(page, "Dark") == ""


def test_wide_tables_scroll_on_their_own_and_long_names_wrap(tmp_path: Path) -> None:
    page = page_of(audited(tmp_path, {"train": ["a.png"], "val": ["b.png"]}, []), tmp_path / "audit")
    assert page.count("<table") == page.count('<div class="table"><table')
    assert re.search(r"\.table \{[^}]*overflow-x: auto", page)
    assert re.search(r"body \{[^}]*overflow-wrap: anywhere", page)
    assert re.search(r"\.paths td \{[^}]*overflow-wrap: anywhere", page)
    assert re.search(r"img \{[^}]*max-width: 100%", page)


def test_an_image_with_many_files_is_shown_in_part_and_the_rest_is_counted(tmp_path: Path) -> None:
    paths = {"all": [f"a{i}.png" for i in range(IN_A_ROW + 2)] + ["b.png"]}
    links = [Link(0, i, TRANSFORMED, Match(STILL, 20, 0.9, 0.0)) for i in range(1, IN_A_ROW + 3)]
    page = page_of(audited(tmp_path, paths, links), tmp_path / "audit")
    for heading in ("The images with the most files", "One image, several classes"):
        shown = section(page, heading)
        assert shown.count("<img") == IN_A_ROW
        assert "and 3 more" in shown


def test_names_are_text_and_files_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    result = audited(tmp_path, {"all": ["a<b>&.png", "b<broken>.png"]}, [])
    page = page_of(result, tmp_path / "audit")
    assert "b&lt;broken&gt;.png" in section(page, "Files that cannot be read")
    assert "<broken>" not in page
    assert "Nothing was found." in page
    for name in ("class_distribution", "samples", "side_lengths"):
        assert (tmp_path / "audit" / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == 3


def test_where_nothing_can_be_read_there_are_no_pictures(tmp_path: Path) -> None:
    page = page_of(audited(tmp_path, {"all": ["a_broken.png", "b_broken.png"]}, []), tmp_path / "audit")
    assert [path.name for path in (tmp_path / "audit" / "plots").iterdir()] == ["class_distribution.png"]
    assert "Mean of the channels" not in page


def test_the_largest_groups_stand_first_and_single_files_are_left_out() -> None:
    files = Labelled(
        np.array(["all"] * 6),
        np.array(["A"] * 6),
        group(6, [Link(1, 3, TRANSFORMED), Link(3, 5, TRANSFORMED), Link(0, 2, TRANSFORMED)]),
    )
    assert _largest(files) == [[1, 3, 5], [0, 2]]


@pytest.mark.parametrize(("count", "last"), [(3, 2), (PAIRS, PAIRS - 1), (10 * PAIRS, 10 * PAIRS - 10)])
def test_links_are_chosen_from_all_over_the_list(count: int, last: int) -> None:
    chosen = _spread([Link(i, i + 1, EDITED) for i in range(count)])
    assert len(chosen) == min(count, PAIRS)
    assert (chosen[0].first, chosen[-1].first) == (0, last)


@pytest.mark.parametrize(("height", "width"), [(300, 150), (7, 28), (1, 1000)])
def test_a_picture_is_shown_in_its_shape(height: int, width: int) -> None:
    shown = _shrunk(np.zeros((height, width, 3), dtype=np.uint8))
    assert max(shown.shape) == SHOWN_SIDE
    assert shown.shape[0] == max(1, round(height * SHOWN_SIDE / max(height, width)))
