"""The audit command, from a folder to its files and its exit status."""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from images import scene, write_image
from sklearn.datasets import load_digits
from tables import read_table

from maskcls import cli
from maskcls.commands import audit as command
from maskcls.data.faces import Face


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images a class in Train; of four of WithMask in Validation, two are in Train, one of them mirrored."""
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
    assert content["bad_files"]["unreadable"] == {"Train/WithoutMask/<b>&.png": "a text file, not an image"}
    assert content["groups"]["by_class"] == {"WithMask": 10, "WithoutMask": 13}
    assert content["groups"]["links"]["identical file"] == 1
    assert content["groups"]["links"]["transformed"] == 1
    assert content["sides"]["train"]["WithMask"] == [120] * 5
    shortcut = content["shortcuts"][0]
    assert (shortcut["name"], shortcut["accuracy"]) == ("width, height and bytes of the file", 1)
    output = capsys.readouterr()
    # in one column, whatever the severity
    assert (
        "  severe    2 of 8 val files show images that are also in train (2 of 4 in WithMask): accuracy" in output.err
    )
    assert "severe" not in output.out
    assert f"findings: {len(content['findings'])}\n" in output.out

    groups = {row["path"]: row for row in read_table(tmp_path / "audit" / "groups.csv")}
    assert len(groups) == 25
    assert groups["Train/WithMask/0.png"]["group"] == groups["Validation/WithMask/0.png"]["group"]
    assert groups["Train/WithMask/1.png"]["group"] == groups["Validation/WithMask/1.png"]["group"]
    assert groups["Validation/WithMask/1.png"]["evidence"] == "transformed"
    assert len({row["group"] for row in groups.values()}) == 23
    issues = read_table(tmp_path / "audit" / "issues.csv")
    leaked = {row["path"]: (row["related"], row["detail"], row["class"]) for row in issues if row["kind"] == "leak"}
    assert leaked == {
        "Validation/WithMask/0.png": ("Train/WithMask/0.png", "identical file", "WithMask"),
        "Validation/WithMask/1.png": ("Train/WithMask/1.png", "transformed", "WithMask"),
    }
    (finding,) = [one for one in content["findings"] if one["kind"] == "leak"]
    assert set(finding["files"]) == set(leaked)
    links = read_table(tmp_path / "audit" / "links.csv")
    assert [(row["evidence"], row["mirrored"]) for row in links] == [("identical file", ""), ("transformed", "1")]


def test_the_report_is_one_file_in_which_names_are_text(leaky: Path, tmp_path: Path) -> None:
    assert audit(leaky, tmp_path / "audit") == 0
    page = (tmp_path / "audit" / "report.html").read_text()
    assert "&lt;b&gt;&amp;.png" in page
    assert "<b>&.png" not in page
    assert {match[:11] for match in re.findall(r'src="([^"]*)"', page)} == {"data:image/"}
    assert "http" not in page
    assert "2 of 8 val files show images that are also in train" in page
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


def test_plain_copies_of_digits_in_val_are_a_leak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four digits of each class, and in val a copy of eight of them: resized to 60 pixels, or as JPEG of quality 80."""
    data = load_digits()
    root = tmp_path / "set"
    for number in range(40):
        folder = root / "train" / str(data.target[number])
        folder.mkdir(parents=True, exist_ok=True)
        image = (data.images[number] * 255 / 16).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        other = (data.images[100 + number] * 255 / 16).astype(np.uint8)
        folder = root / "val" / str(data.target[100 + number])
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{100 + number}.png"), other)
        if number < 8:
            suffix, copy = (".png", cv2.resize(image, (60, 60))) if number < 4 else (".jpg", image)
            path = root / "val" / str(data.target[number]) / f"copy{number}{suffix}"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), copy, [cv2.IMWRITE_JPEG_QUALITY, 80] if suffix == ".jpg" else [])
    assert audit(root, tmp_path / "audit", "fail_on=leak") == 4
    error = capsys.readouterr().err
    assert "8 of 48 val files show images that are also in train (" in error
    assert ", 0 of" not in error
    report = re.sub(r"data:[^\"')]*", "", (tmp_path / "audit" / "report.html").read_text())  # pictures hold any letters
    assert "also in train" in report
    for word in ("face", "mask", "photograph"):
        assert word not in error.lower().replace("maskcls", "")
        assert word not in report.lower().replace("maskcls", "")
    issues = read_table(tmp_path / "audit" / "issues.csv")
    leaked = {Path(row["path"]).stem: Path(row["related"]).stem for row in issues if row["kind"] == "leak"}
    assert leaked == {f"copy{number}": str(number) for number in range(8)}
    assert "files have too few corners" in (tmp_path / "audit" / "audit.log").read_text()


def test_faces_are_looked_for_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Finder:
        def __init__(self, model: Path, *, always_crop: bool) -> None:
            assert model == tmp_path / "detector.onnx"

        def find(self, image: np.ndarray) -> Face:
            return Face("none" if image[0, 0, 0] == 0 else "fills")

    monkeypatch.setattr(command, "FaceFinder", Finder)
    (tmp_path / "detector.onnx").touch()
    for number in range(4):
        image = scene(number, 48)
        image[0, 0] = 0 if number == 2 else 255
        write_image(tmp_path / "set" / "A" / f"{number}.png", image)
    assert audit(tmp_path / "set", tmp_path / "off") == 0
    assert "no face" not in capsys.readouterr().out
    faces = ("faces.mode=yunet", f"faces.model={tmp_path / 'detector.onnx'}")
    assert audit(tmp_path / "set", tmp_path / "on", *faces) == 0
    assert "  note      1 of 4 files has no face that was found" in capsys.readouterr().out
    rows = [row for row in read_table(tmp_path / "on" / "issues.csv") if row["fault"] == "no_face"]
    assert [(row["path"], row["kind"], row["severity"]) for row in rows] == [("A/2.png", "quality", "note")]
    assert audit(tmp_path / "set", tmp_path / "contradiction", faces[1]) == 2
    assert "contradicts faces.mode=none" in capsys.readouterr().err


def test_a_single_class_has_no_shortcuts_and_the_log_says_so(tmp_path: Path) -> None:
    write_image(tmp_path / "set" / "A" / "0.png", scene(0, 48))
    assert audit(tmp_path / "set", tmp_path / "audit") == 0
    assert "shortcuts were not measured: there are no two classes" in (tmp_path / "audit" / "audit.log").read_text()
    content = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert content["shortcuts_not_measured"] == "there are no two classes to tell apart"


def test_a_folder_of_loose_images_is_audited_without_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(30):
        image = scene(number, 64)
        write_image(tmp_path / "set" / f"{number}.png", image // 8 if number == 3 else image)
    write_image(tmp_path / "set" / "copy.bmp", scene(5, 64))
    write_image(tmp_path / "set" / "wide.png", np.concatenate([scene(40, 64)] * 4, axis=1))
    assert audit(tmp_path / "set", tmp_path / "audit", "fail_on=[leak,shortcut,conflict,imbalance]") == 0
    assert "32 files, without classes" in capsys.readouterr().out
    rows = read_table(tmp_path / "audit" / "issues.csv")
    assert {(row["path"], row["fault"], row["related"]) for row in rows if row["fault"] != "not_square"} == {
        ("copy.bmp", "copy", "5.png") if rows[0]["path"] == "copy.bmp" else ("5.png", "copy", "copy.bmp"),
        ("3.png", "dark", ""),
        ("wide.png", "odd_aspect", ""),
    }
    assert {(row["split"], row["class"]) for row in rows} == {("all", "")}
    page = (tmp_path / "audit" / "report.html").read_text()
    assert "31 different images.\n" in page
    assert "there are no two classes to tell apart" in page


def test_a_class_of_12_bit_values_in_16_bit_files_is_named(tmp_path: Path) -> None:
    for number in range(3):
        for name, scale in (("A", 16), ("B", 257)):
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            image = scene(number + scale, 48).astype(np.uint16) * scale
            cv2.imwrite(str(tmp_path / "set" / name / f"{number}.png"), image)
    assert audit(tmp_path / "set", tmp_path / "audit", "fail_on=shortcut") == 4
    findings = json.loads((tmp_path / "audit" / "audit.json").read_text())["findings"]
    assert [one["text"] for one in findings if one["kind"] == "shortcut"] == [
        "all 3 images of A are so dark that they look like 12-bit values in 16-bit files: brightness tells the classes "
        "apart"
    ]


def test_a_missing_class_fails_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, folder in enumerate(("train/A", "train/B", "val/A")):
        write_image(tmp_path / "set" / folder / "0.png", scene(number, 48))
    assert audit(tmp_path / "set", tmp_path / "audit", "fail_on=imbalance") == 4
    assert capsys.readouterr().err.splitlines()[-1] == "maskcls-audit: fail_on: imbalance: val has no image of B"


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert audit(tmp_path / "empty", tmp_path / "audit") == 2
    assert "holds no image file" in capsys.readouterr().err
    assert not (tmp_path / "audit").exists()
    assert audit(tmp_path / "none", tmp_path / "audit") == 2
    assert f"data.root={tmp_path / 'none'}: no such folder" in capsys.readouterr().err
