"""What can be resumed, and with which keys."""

import json
from pathlib import Path
from typing import Any

import pytest
from configuration import config_of, small, start_run

from maskcls import cli
from maskcls.cli.arguments import parse_overrides, read_arguments
from maskcls.cli.composition import compose_jobs
from maskcls.cli.resumption import how_to_continue, is_done, resumed_config
from maskcls.config import TableConfig
from maskcls.run import read_run


def test_a_run_that_another_process_is_at_is_wrong_input(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = start_run(tmp_path / "run", small(dataset))  # the record says running, and the lock is held
    assert cli.main("train", [f"resume={tmp_path / 'run'}"]) == 2
    assert "another process works on this run" in capsys.readouterr().err
    assert read_run(tmp_path / "run")["status"] == "running"
    other.finish("finished", 0)


def test_what_was_no_training_is_not_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start_run(tmp_path / "run", small(tmp_path), "audit").finish("failed", 4)
    assert cli.main("train", [f"resume={tmp_path / 'run'}"]) == 2
    assert "this is a run of maskcls-audit, which cannot be resumed; run it again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr=1", "optim.lr=1: a resumed run keeps its optim.lr; only these keys may change: epochs, "),
        ("schedule=cosine", "schedule=cosine: a resumed run keeps its schedule; "),
        ("init=other", ": a resumed run keeps its init; "),
        ("model=vgg16", "model=vgg16: a resumed run keeps its model; "),
        ("epoch=3", "; did you mean 'epochs'?"),
        ("hydra.run.dir=other", "a resumed run stays in its directory"),
    ],
)
def test_what_a_resumed_run_keeps(
    override: str, message: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small(dataset)
    start_run(tmp_path / "run", config).finish("interrupted", 143)
    assert cli.main("train", [f"resume={tmp_path / 'run'}", override]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert read_run(tmp_path / "run")["status"] == "interrupted"


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda run: run.mkdir(), "run: expected the directory of a run (run.json) or of a sweep (multirun.yaml)"),
        (lambda run: None, "run: expected the directory of a run (run.json) or of a sweep (multirun.yaml)"),
        (lambda run: (run.mkdir(), (run / "run.json").write_text("{}")), "cannot read config.yaml: "),
        (
            lambda run: (run.mkdir(), (run / "run.json").write_text("{}"), (run / "config.yaml").write_text("a: [")),
            "cannot read config.yaml: ",
        ),
        (
            lambda run: (
                run.mkdir(),
                (run / "run.json").write_text("{}"),
                (run / "config.yaml").write_text("model: 3"),
            ),
            "run: optim is missing",
        ),
        (lambda run: (run.mkdir(), (run / "multirun.yaml").write_text("hydra: 3")), "cannot read multirun.yaml: "),
    ],
)
def test_what_cannot_be_resumed_is_refused_in_a_line(
    prepare: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    assert cli.main("train", [f"resume={tmp_path / 'run'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("record", "epochs", "done"),
    [
        ({"status": "finished", "epochs": 3}, 3, True),
        ({"status": "finished", "epochs": 3}, 2, True),
        ({"status": "finished", "epochs": 3}, 4, False),
        ({"status": "finished"}, 1, False),
        ({"status": "interrupted", "epochs": 3}, 3, False),
        ({}, 1, False),
    ],
)
def test_a_run_is_done_when_it_has_finished_with_so_many_epochs(
    record: dict[str, Any], epochs: int, tmp_path: Path, *, done: bool
) -> None:
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert is_done(tmp_path, epochs) is done


def test_people_are_told_how_to_continue() -> None:
    assert how_to_continue(Path("/my runs/\x1b[1m")) == (
        "interrupted; continue with: maskcls-train resume='/my runs/\\x1b[1m'"
    )


@pytest.mark.parametrize(
    ("begun_with", "typed", "root"),
    [
        (("data.table=/a/labels.csv",), ("data.table=/b/labels.csv",), "/b"),
        (("data.table=/a/labels.csv",), ("data.table=/b/labels.csv", "data.root=/a"), "/a"),
        (("data.table=/a/labels.csv", "data.root=/images"), ("data.table=/b/labels.csv",), "/images"),
    ],
)
def test_images_in_the_folder_of_their_table_move_with_it(
    begun_with: tuple[str, ...], typed: tuple[str, ...], root: str, tmp_path: Path
) -> None:
    start_run(tmp_path / "run", config_of("train", "data=table", *begun_with)).finish("interrupted", 143)
    line = read_arguments([*typed, "data=table"])
    (job,) = compose_jobs("train", line)
    config = resumed_config(tmp_path / "run", job.composed, parse_overrides(line.overrides))
    assert isinstance(config.data, TableConfig)
    assert config.data.root == Path(root)
    assert str(config.data.table) == typed[0].removeprefix("data.table=")
