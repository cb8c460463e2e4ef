"""Files that cannot be read: all of them are named, or all of them are left out and counted."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from configuration import config_of
from images import write_dataset
from tables import read_table

from maskcls import cli
from maskcls.data.decode import UnreadableFilesError
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
    named = {line.removeprefix(f"cannot be read: {damaged}/").partition(": ")[0] for line in lines[:-1]}
    assert named == set(BAD)
    assert lines[-1].startswith("maskcls-train: 4 of 32 image files cannot be read, repair or remove them: ")
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
    assert capsys.readouterr().err.count("cannot be read: ") == 4
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
    assert "no image of class WithMask in the train split" in capsys.readouterr().err


@pytest.mark.parametrize("cache_gb", ["null", "0"])
@pytest.mark.parametrize("kind", ["leads nowhere", "pipe", "huge"])
def test_links_pipes_and_huge_files_are_left_out_like_bad_images(
    kind: str, cache_gb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_dataset(tmp_path / "set", {"Train": 4, "Validation": 2, "Test": 2})
    odd = root / "Train" / "WithMask" / "odd.png"
    if kind == "leads nowhere":
        odd.symlink_to(tmp_path / "nowhere.png")
    elif kind == "pipe":
        os.mkfifo(odd)
    else:
        with odd.open("wb") as file:
            file.truncate(4 * 10**12)
    reason = {"leads nowhere": "No such file or directory", "pipe": "not a regular file", "huge": "bytes, more than"}[
        kind
    ]
    arguments = [*SETTINGS, f"data.root={root}", f"data.cache_gb={cache_gb}"]
    assert cli.main("train", arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("maskcls-train: ")]
    assert f"{odd}: " in line
    assert reason in line
    assert cli.main("train", [*arguments, "data.on_bad_image=skip"]) == 0
    assert list(json.loads(Path("run/run.json").read_text())["data"]["skipped"]) == ["Train/WithMask/odd.png"]


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
