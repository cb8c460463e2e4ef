"""Evaluated runs are read as they were written, and refused where they cannot be compared."""

import json
from pathlib import Path
from typing import Any

import pytest
from configuration import config_of

from maskcls.config import as_dictionary
from maskcls.errors import UserError
from maskcls.evaluation.runs import EvaluatedRun, common_split, groups_of, read_evaluated, same_files

ROWS = "path,label,prediction,side,group\na.png,A,A,32,g1\nb.png,A,B,64,g2\n"


def write_run(
    directory: Path, rows: str = ROWS, config: str = "{model: m, seed: 3, threads: 2}", **record: object
) -> Path:
    (directory / "evaluation" / "test").mkdir(parents=True)
    (directory / "evaluation" / "test" / "predictions.csv").write_text(rows)
    (directory / "config.yaml").write_text(config)
    (directory / "run.json").write_text(json.dumps(record))
    return directory


def run_of(name: str, files: dict[str, tuple[str, str]], groups: dict[str, str] | None = None) -> EvaluatedRun:
    return EvaluatedRun(name, {}, {}, files, dict.fromkeys(files, True), groups or {})


def test_a_run_is_read(tmp_path: Path) -> None:
    versions = {"torch": "2.10"}
    run = read_evaluated(write_run(tmp_path / "run", git_commit="c", versions=versions), "test")
    assert run == EvaluatedRun(
        name="run",
        settings={"evaluation": {"model": "m"}, "training": None},
        origin={"seed": 3, "git_commit": "c", "versions": versions},
        files={"a.png": ("A", "32"), "b.png": ("A", "64")},
        is_correct={"a.png": True, "b.png": False},
        groups={"a.png": "g1", "b.png": "g2"},
    )


def test_an_evaluated_checkpoint_has_the_seed_of_its_training(tmp_path: Path) -> None:
    training = {"model": "m", "seed": 7, "device": "cpu"}
    run = read_evaluated(write_run(tmp_path / "run", config="{ckpt: x, plots: true}", training=training), "test")
    assert run.origin["seed"] == 7
    assert run.settings == {"evaluation": {}, "training": {"model": "m"}}


@pytest.mark.parametrize("command", ["train", "eval"])
def test_keys_that_an_older_version_lacks_have_their_defaults(command: str, tmp_path: Path) -> None:
    training = as_dictionary(config_of("train", "data=folder", "data.root=/images"))
    own = training if command == "train" else as_dictionary(config_of("eval", "ckpt=a", "data.root=/other"))
    record: dict[str, Any] = {"command": f"maskcls-{command}", **({} if command == "train" else {"training": training})}
    new = read_evaluated(write_run(tmp_path / "new", config=json.dumps(own), **record), "test")
    for keys in (training, own):
        for name in ("select", "init"):
            keys.pop(name, None)
        for name in ("name", "resize", "class_map", "splits", "table", "columns"):
            if name != "name" or keys is own is not training:
                keys["data"].pop(name, None)
    old = read_evaluated(write_run(tmp_path / "old", config=json.dumps(own), **record), "test")
    assert old.settings == new.settings
    training["select"] = own["select"] = "balanced_accuracy"
    other = read_evaluated(write_run(tmp_path / "other", config=json.dumps(own), **record), "test")
    assert other.settings != new.settings


def test_columns_that_are_missing_are_not_known(tmp_path: Path) -> None:
    run = read_evaluated(write_run(tmp_path / "run", "path,label,prediction\na.png,A,A\n"), "test")
    assert run.files == {"a.png": ("A", "")}
    assert run.groups == {}


@pytest.mark.parametrize(
    ("rows", "config"),
    [("path\na.png\n", "{}"), ("path,label,prediction\nx", "[]]"), (ROWS, "text"), ("path,label,prediction\n\0", "3")],
)
def test_what_cannot_be_read_is_named(rows: str, config: str, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", rows, config)
    with pytest.raises(UserError, match=rf"runs: {directory}: its evaluation cannot be read: "):
        read_evaluated(directory, "test")


def test_a_split_that_a_run_was_not_evaluated_on_is_refused(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    with pytest.raises(UserError, match=rf"split=val: {directory} has evaluations of test"):
        read_evaluated(directory, "val")


def test_the_common_split_must_be_one(tmp_path: Path) -> None:
    one, other = write_run(tmp_path / "one"), write_run(tmp_path / "other")
    assert common_split([one, other]) == "test"
    for directory in (one, other):
        (directory / "evaluation" / "val").mkdir()
        (directory / "evaluation" / "val" / "predictions.csv").touch()
    with pytest.raises(UserError, match=r"or split=\.\.\.: one has test, val; other has test, val"):
        common_split([one, other])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="one has test, val; empty has none"):
        common_split([one, tmp_path / "empty"])


def test_files_are_the_same_whatever_their_order_and_where_a_size_is_not_known() -> None:
    one, other = run_of("a", {"y": ("A", "8"), "x": ("B", "9")}), run_of("b", {"x": ("B", ""), "y": ("A", "8")})
    assert same_files([one, other]) == same_files([other, one]) == ["x", "y"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"x": ("A", "8"), "y": ("B", "8")}, "the class differs for 1 of 2 files, such as y"),
        ({"x": ("A", "9"), "y": ("A", "9")}, "the size differs for 2 of 2 files, such as x"),
        ({"x": ("A", "8"), "z": ("A", "8")}, "only one of them has 2 of 3 files, such as y"),
    ],
)
def test_files_that_differ_are_refused(files: dict[str, tuple[str, str]], message: str) -> None:
    runs = [run_of("a", {"x": ("A", "8"), "y": ("A", "8")}), run_of("b", files)]
    with pytest.raises(UserError, match=f"^runs: a and b were not evaluated on the same files: {message}$"):
        same_files(runs)


def test_an_evaluation_without_files_is_refused() -> None:
    with pytest.raises(UserError, match="the evaluation of a contains no files"):
        same_files([run_of("a", {}), run_of("b", {})])


def test_a_file_of_unknown_group_is_a_group_of_its_own() -> None:
    files = dict.fromkeys("xyz", ("A", "8"))
    assert groups_of([run_of("a", files), run_of("b", files)], ["x", "y"]).tolist() == ["x", "y"]
    known = run_of("b", files, {"x": "g", "z": "g"})
    assert groups_of([run_of("a", files), known], ["x", "y", "z"]).tolist() == ["g", "y", "g"]


def test_a_run_without_an_evaluation_is_told_how_to_get_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(
        UserError, match=r"b has none; maskcls-eval ckpt=RUN split=val evaluates a run: compare the dir"
    ):
        common_split([tmp_path / "a", tmp_path / "b"])
