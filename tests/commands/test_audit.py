"""The audit command, from a folder to its files and its exit status."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from images import scene, write_image
from tables import read_table

from maskcls import cli


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photographs a class in Train; of four of WithMask in Validation, two are in Train, one of them mirrored."""
    root = tmp_path_factory.mktemp("leaky") / "set"
    seed = 0
    for split, count in (("Train", 8), ("Validation", 4)):
        for name, side in (("WithMask", 120), ("WithoutMask", 90)):
            for number in range(count):
                seed += 1
                write_image(root / split / name / f"{number}.png", scene(seed, side))
    shutil.copy(root / "Train/WithMask/0.png", root / "Validation/WithMask/0.png")
    mirrored = np.ascontiguousarray(scene(2, 120)[:, ::-1])
    write_image(root / "Validation/WithMask/1.png", mirrored)
    (root / "Train/WithoutMask/<b>&.png").write_text("no image")
    return root


def audit(root: Path, directory: Path, *overrides: str) -> int:
    return cli.main("audit", [f"data.root={root}", f"hydra.run.dir={directory}", *overrides])


def test_an_audit_writes_what_it_found(leaky: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(leaky, tmp_path / "audit") == 0
    content = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert content["data"]["files"] == {
        "train": {"WithMask": 8, "WithoutMask": 9},
        "val": {"WithMask": 4, "WithoutMask": 4},
    }
    assert content["leaks"] == [
        {"split": "val", "class": "WithMask", "files": 4, "files_also_in_train": 2},
        {"split": "val", "class": "WithoutMask", "files": 4, "files_also_in_train": 0},
    ]
    assert content["bad_files"]["unreadable"] == {"Train/WithoutMask/<b>&.png": "not an image, or a damaged one"}
    assert content["groups"]["by_class"] == {"WithMask": 10, "WithoutMask": 13}
    assert content["groups"]["links"]["identical file"] == 1
    assert content["groups"]["links"]["transformed"] == 1
    assert content["sides"]["train"]["WithMask"] == [120] * 5
    shortcut = content["shortcuts"][0]
    assert (shortcut["name"], shortcut["accuracy"]) == ("width, height and bytes of the file", 1)
    output = capsys.readouterr()
    # in one column, whatever the severity
    assert "  severe    2 of 8 val files show a photograph that is also in train (2 of 4 WithMask" in output.err
    assert "severe" not in output.out
    assert f"findings: {len(content['findings'])}\n" in output.out

    groups = {row["path"]: row for row in read_table(tmp_path / "audit" / "groups.csv")}
    assert len(groups) == 25
    assert groups["Train/WithMask/0.png"]["group"] == groups["Validation/WithMask/0.png"]["group"]
    assert groups["Train/WithMask/1.png"]["group"] == groups["Validation/WithMask/1.png"]["group"]
    assert groups["Validation/WithMask/1.png"]["evidence"] == "transformed"
    assert len({row["group"] for row in groups.values()}) == 23
    links = read_table(tmp_path / "audit" / "links.csv")
    assert [(row["evidence"], row["mirrored"]) for row in links] == [("identical file", ""), ("transformed", "1")]


def test_the_report_is_one_file_in_which_names_are_text(leaky: Path, tmp_path: Path) -> None:
    assert audit(leaky, tmp_path / "audit") == 0
    page = (tmp_path / "audit" / "report.html").read_text()
    assert "&lt;b&gt;&amp;.png" in page
    assert "<b>&.png" not in page
    assert {match[:11] for match in re.findall(r'src="([^"]*)"', page)} == {"data:image/"}
    assert "http" not in page
    assert "2 of 8 val files show a photograph" in page
    for name in ("class_distribution", "samples", "side_lengths"):
        assert (tmp_path / "audit" / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("fail_on", "status"), [("leak", 4), ("[shortcut]", 4), ("[leak,bad_file]", 4), ("[]", 0)])
def test_what_is_named_ends_with_status_4_after_everything_is_written(
    fail_on: str, status: int, leaky: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(leaky, tmp_path / "audit", f"fail_on={fail_on}") == status
    assert (tmp_path / "audit" / "report.html").exists()
    run = json.loads((tmp_path / "audit" / "run.json").read_text())
    assert run["exit_status"] == status
    if status:
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("maskcls-audit: fail_on: ")
        assert ("bad_file: 1 of 25 files cannot be read, such as Train/WithoutMask/<b>&.png" in line) == (
            "bad_file" in fail_on
        )


def test_good_data_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        for name, seed in (("A", 0), ("B", 50)):
            write_image(tmp_path / "set" / name / f"{number}.bmp", scene(seed + number, 64))
    assert audit(tmp_path / "set", tmp_path / "audit", "fail_on=[leak,bad_file]") == 0
    content = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert content["leaks"] == []
    assert content["conflicts"] == []
    assert content["groups"]["all"] == 24
    assert not list((tmp_path / "cache").glob("audit-*"))


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert audit(tmp_path / "empty", tmp_path / "audit") == 2
    assert "no images in class folders" in capsys.readouterr().err
    assert not (tmp_path / "audit").exists()
    assert audit(tmp_path / "none", tmp_path / "audit") == 2
    assert f"data.root={tmp_path / 'none'}: no such folder" in capsys.readouterr().err
