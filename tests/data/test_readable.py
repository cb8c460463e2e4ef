"""Files that cannot be read: all of them are named, or all of them are left out and counted."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from configuration import config_of
from images import noisy_image, write_dataset, write_image
from tables import read_table

import maskcls
from maskcls import cli
from maskcls.config.types import Resize
from maskcls.data.decode import UnreadableFilesError, decode_image, prepare_image, square_image
from maskcls.data.index import index_folder
from maskcls.data.readable import open_readable
from maskcls.models.checkpoint import load_checkpoint

BAD = ("Train/WithMask/3.png", "Train/WithoutMask/0.png", "Validation/WithMask/1.png", "Test/WithoutMask/2.png")
SETTINGS = (
    "model=mycnn", "data=folder", "data.input_size=16", "data.batch_size=4", "epochs=2", "plots=false", "threads=1",
    "hydra.run.dir=run",
)  # fmt: skip


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A data set with four files that cannot be read, in several splits."""
    root = write_dataset(tmp_path / "damaged", {"Train": 8, "Validation": 4, "Test": 4})
    for number, name in enumerate(BAD):
        content = (root / name).read_bytes()
        (root / name).write_bytes((b"", b"no image", content[:60], content[: len(content) // 2])[number])
    return root


@pytest.fixture
def without(damaged: Path, tmp_path: Path) -> Path:
    """The same data set without those files."""
    root = shutil.copytree(damaged, tmp_path / "without")
    for name in BAD:
        (root / name).unlink()
    return root


@pytest.mark.parametrize("cache_gb", ["null", "0"])
def test_all_are_named_before_the_training_begins(
    damaged: Path, cache_gb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main("train", [*SETTINGS, f"data.root={damaged}", f"data.cache_gb={cache_gb}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    named = dict(line.replace(f"{damaged}/", "").split(": ", 2)[1::-1] for line in lines[:-1])
    assert named == dict.fromkeys(BAD[:3], "cannot be read") | {BAD[3]: "damaged"}
    assert lines[-1].startswith("maskcls-train: 4 of 32 image files cannot be read (1 only in part); repair or remove ")
    assert "data.on_bad_image=skip leaves them out, use takes what is left of damaged ones: " in lines[-1]
    assert not Path("run").exists()


@pytest.mark.parametrize("cache_gb", ["null", "0"])
def test_skipped_files_are_in_no_figure(damaged: Path, without: Path, cache_gb: str) -> None:
    more = (f"data.cache_gb={cache_gb}", "data.on_bad_image=skip")
    assert cli.main("train", [*SETTINGS, *more, f"data.root={damaged}"]) == 0
    record = json.loads(Path("run/run.json").read_text())
    assert set(record["data"]["skipped"]) == set(BAD)
    assert record["data"]["skipped"][BAD[0]].endswith("the file is empty")
    assert record["data"]["images"] == {
        "train": {"WithMask": 7, "WithoutMask": 7},
        "val": {"WithMask": 3, "WithoutMask": 4},
        "test": {"WithMask": 4, "WithoutMask": 3},
    }
    assert json.loads(Path("run/evaluation/test/metrics.json").read_text())["images"] == 7
    # the result is that of a training on the other files
    assert cli.main("train", [*SETTINGS[:-1], "hydra.run.dir=other", f"data.root={without}"]) == 0
    weights = [load_checkpoint(Path(run, "checkpoints/last.safetensors")).weights for run in ("run", "other")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_an_evaluation_names_them_or_counts_without_them(
    damaged: Path, without: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main("train", [*SETTINGS, f"data.root={without}"]) == 0
    arguments = ["ckpt=run", f"data.root={damaged}", "split=all", "plots=false"]
    capsys.readouterr()
    assert cli.main("eval", arguments) == 2
    assert capsys.readouterr().err.count("cannot be read: ") == 3
    assert cli.main("eval", [*arguments, "data.on_bad_image=skip", "hydra.run.dir=eval"]) == 0
    metrics = json.loads(Path("eval/evaluation/all/metrics.json").read_text())
    assert (metrics["images"], set(metrics["data"]["skipped"])) == (28, set(BAD))
    rows = read_table(Path("eval/evaluation/all/predictions.csv"))
    assert not {row["path"] for row in rows} & set(BAD)


def test_a_class_that_would_be_left_without_images_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_dataset(tmp_path / "set", {"Train": 2, "Validation": 2})
    for path in (root / "Train" / "WithMask").iterdir():
        path.write_bytes(b"")
    assert cli.main("train", [*SETTINGS, f"data.root={root}", "data.on_bad_image=skip"]) == 2
    assert "no image of the class 'WithMask' in the train split" in capsys.readouterr().err


@pytest.mark.parametrize("cache_gb", ["null", "0"])
def test_huge_files_are_left_out_like_bad_images(
    cache_gb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_dataset(tmp_path / "set", {"Train": 4, "Validation": 2, "Test": 2})
    odd = root / "Train" / "WithMask" / "odd.png"
    with odd.open("wb") as file:
        file.truncate(4 * 10**12)
    arguments = [*SETTINGS, f"data.root={root}", f"data.cache_gb={cache_gb}"]
    assert cli.main("train", arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("maskcls-train: ")]
    assert f"{odd}: " in line
    assert "bytes, more than" in line
    assert cli.main("train", [*arguments, "data.on_bad_image=skip"]) == 0
    assert list(json.loads(Path("run/run.json").read_text())["data"]["skipped"]) == ["Train/WithMask/odd.png"]


def test_pipes_and_links_that_lead_nowhere_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_dataset(tmp_path / "set", {"Train": 4, "Validation": 2, "Test": 2})
    (root / "Train" / "WithMask" / "link.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(root / "Train" / "WithMask" / "pipe.png")
    assert cli.main("train", [*SETTINGS, f"data.root={root}"]) == 0
    shown = capsys.readouterr().err
    assert "left out, dangling link: Train/WithMask/link.png" in shown
    assert "left out, not a file: Train/WithMask/pipe.png" in shown
    record = json.loads(Path("run/run.json").read_text())["data"]
    assert record["left_out"] == {
        "Train/WithMask/link.png": f"dangling link: {tmp_path / 'nowhere.png'} does not exist",
        "Train/WithMask/pipe.png": "not a file",
    }
    assert record["images"]["train"] == {"WithMask": 4, "WithoutMask": 4}


def test_a_test_split_of_which_nothing_is_left_is_not_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_dataset(tmp_path / "set", {"Train": 4, "Validation": 2, "Test": 2})
    for path in (root / "Test").rglob("*.png"):
        path.write_bytes(b"")
    assert cli.main("train", [*SETTINGS, f"data.root={root}", "data.on_bad_image=skip"]) == 0
    shown = capsys.readouterr()
    assert "no file of the test split can be read; the split is left out" in shown.err
    assert "has no test split" in shown.out
    assert not Path("run/evaluation").exists()


def test_splits_are_opened_again_until_all_files_can_be_read(dataset: Path) -> None:
    index = index_folder(dataset)
    faulty = [index.splits["train"].paths[:2], index.splits["val"].paths[:1]]

    def opener(index: object) -> str:
        if faulty:
            raise UnreadableFilesError(dict.fromkeys(faulty.pop(), "gone"), 9)
        return "opened"

    opened, left, skipped = open_readable(index, opener, "skip")
    assert opened == "opened"
    assert set(skipped) == {*index.splits["train"].paths[:2], index.splits["val"].paths[0]}
    assert left.splits["train"].paths == index.splits["train"].paths[2:]
    assert left.splits["train"].labels == index.splits["train"].labels[2:]
    assert left.splits["test"] == index.splits["test"]


def test_the_settings_are_those_that_users_type() -> None:
    assert config_of("train", "data=synthetic").data.on_bad_image == "error"
    assert config_of("eval", "ckpt=x").data.on_bad_image == "error"


def cut(path: Path) -> None:
    """Take the last bytes of a file away."""
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("cache_gb", ["null", "0"])
def test_all_commands_agree_on_damaged_files(tmp_path: Path, cache_gb: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_dataset(tmp_path / "set", {"Train": 6, "Validation": 3, "Test": 3})
    damaged = ["Train/WithMask/3.png", "Test/WithoutMask/2.png"]
    for name in damaged:
        cut(root / name)
    (root / "Train/WithoutMask/0.png").write_bytes(b"<html>")
    faults = {name: f"{root / name}: cut off: its end is missing" for name in damaged}
    train = [*SETTINGS, f"data.root={root}", f"data.cache_gb={cache_gb}"]
    assert cli.main("train", [*train, "data.on_bad_image=use"]) == 0
    shown = capsys.readouterr().err
    assert all(shown.count(f"damaged, used in part: {fault}\n") == 1 for fault in faults.values())
    assert "2 damaged files used in part: data.on_bad_image=use" in shown
    assert "1 file left out: data.on_bad_image=use" in shown
    data = json.loads(Path("run/run.json").read_text())["data"]
    assert data["damaged"] == faults
    assert list(data["skipped"]) == ["Train/WithoutMask/0.png"]
    assert data["images"]["train"] == {"WithMask": 6, "WithoutMask": 5}

    evaluate = ["ckpt=run", f"data.root={root}", "split=all", "plots=false", f"data.cache_gb={cache_gb}"]
    assert cli.main("eval", [*evaluate, "data.on_bad_image=use", "hydra.run.dir=eval"]) == 0
    metrics = json.loads(Path("eval/evaluation/all/metrics.json").read_text())
    assert (metrics["images"], metrics["data"]["damaged"]) == (23, faults)
    capsys.readouterr()
    assert cli.main("eval", [*evaluate, "hydra.run.dir=other"]) == 2
    assert (
        "(2 only in part); repair or remove them, or data.on_bad_image=skip leaves them out, use takes"
        in capsys.readouterr().err
    )
    assert cli.main("eval", [*evaluate, "data.on_bad_image=skip", "hydra.run.dir=skipped"]) == 0
    metrics = json.loads(Path("skipped/evaluation/all/metrics.json").read_text())
    assert (metrics["images"], len(metrics["data"]["skipped"]), metrics["data"]["damaged"]) == (21, 3, {})

    assert cli.main("predict", ["ckpt=run", f"source={root}", "hydra.run.dir=predict"]) == 0
    record = json.loads(Path("predict/run.json").read_text())
    assert sorted(record["damaged"]) == sorted(faults.values())
    assert record["unreadable"] == [f"{root}/Train/WithoutMask/0.png: an HTML page, not an image"]
    assert cli.main("audit", [f"data.root={root}", "hydra.run.dir=audit"]) == 0
    bad = json.loads(Path("audit/audit.json").read_text())["bad_files"]
    assert sorted(bad["damaged"]) == sorted(damaged)
    assert bad["unreadable"] == {"Train/WithoutMask/0.png": "an HTML page, not an image"}


@pytest.mark.parametrize("resize", ["squeeze", "crop", "pad"])
def test_all_commands_make_squares_as_the_training_did(resize: Resize, tmp_path: Path) -> None:
    root = tmp_path / "set"
    rng = np.random.default_rng(0)
    for split, count in {"Train": 6, "Validation": 3, "Test": 3}.items():
        for name in ("WithMask", "WithoutMask"):
            for number in range(count):
                image = noisy_image(rng, masked=name == "WithMask", height=24, width=60)
                write_image(root / split / name / f"{number}.png", image)
    assert cli.main("train", [*SETTINGS, f"data.root={root}", f"data.resize={resize}"]) == 0
    assert load_checkpoint(Path("run/checkpoints/best.safetensors")).document.resize == resize
    assert cli.main("eval", ["ckpt=run", f"data.root={root}", "split=test", "plots=false", "hydra.run.dir=eval"]) == 0
    assert cli.main("predict", ["ckpt=run", f"source={root}/Test", "hydra.run.dir=predict"]) == 0
    tables = [
        {Path(row["path"]).relative_to(start): row for row in read_table(Path(table))}
        for table, start in (
            ("run/evaluation/test/predictions.csv", "Test"),
            ("eval/evaluation/test/predictions.csv", "Test"),
            ("predict/predictions.csv", root / "Test"),
        )
    ]
    predictor = maskcls.load("run")
    assert predictor.resize == resize
    images = [decode_image(root / "Test" / path) for path in tables[0]]
    asked = predictor.predict(images)
    of_squares = predictor.answer_images([square_image(image, 16, resize) for image in images])
    for position, path in enumerate(tables[0]):
        probability = asked[position].probabilities["WithMask"]
        assert probability == pytest.approx(of_squares.probabilities[position, 0], abs=1e-6)
        for table in tables:
            assert float(table[path]["probability_WithMask"]) == pytest.approx(probability, abs=1e-5)
    # reduced images are made squares in the same way
    small = [prepare_image(image, 16, equalised_size=32, resize=resize) for image in images]
    expected = predictor.answer_images(small).probabilities[:, 0]
    for run in ("run", "eval"):
        rows = read_table(Path(run, "evaluation/test/predictions_equalised.csv"))
        found = {Path(row["path"]).relative_to("Test"): float(row["probability_WithMask"]) for row in rows}
        assert [found[path] for path in tables[0]] == pytest.approx(expected, abs=1e-5)
