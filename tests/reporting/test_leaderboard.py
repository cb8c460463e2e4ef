"""The leaderboard: one row a run, ordered by validation alone."""

from pathlib import Path
from typing import Any

import pytest
from tables import read_table

from maskcls.files import write_json
from maskcls.reporting.leaderboard import ranking, write_leaderboard


def write_run(sweep: Path, name: str, accuracy: float | None = None, loss: float = 0.5, **record: Any) -> None:
    """A job's folder, with the figures of its best epoch where it has validated."""
    best = {} if accuracy is None else {"best": {"epoch": 2, "val_accuracy": accuracy, "val_loss": loss}}
    (sweep / name).mkdir(parents=True)
    write_json(sweep / name / "run.json", {"status": "finished", "seconds": {"total": 1.5}, **best, **record})


def rows(sweep: Path) -> list[dict[str, str]]:
    return read_table(write_leaderboard(sweep))


def names(sweep: Path) -> list[str]:
    return [row["run"] for row in rows(sweep)]


def test_a_row_holds_the_figures_of_its_run(tmp_path: Path) -> None:
    test = {"best": {"accuracy": 0.75}, "last": {"accuracy": 0.25}}
    write_run(tmp_path, "0_a", 0.875, 0.25, seed=3, test=test, overrides=["optim.lr=0.1", "model=mycnn"])
    assert write_leaderboard(tmp_path) == tmp_path / "leaderboard.csv"
    assert rows(tmp_path) == [
        {
            "run": "0_a",
            "status": "finished",
            "val_accuracy": "0.875",
            "val_balanced_accuracy": "",
            "val_loss": "0.25",
            "best_epoch": "2",
            "test_accuracy": "0.75",
            "seed": "3",
            "seconds": "1.5",
            "model": "mycnn",
            "optim.lr": "0.1",
            "error": "",
        }
    ]
    assert list(rows(tmp_path)[0])[-3:] == ["model", "optim.lr", "error"]


def test_the_best_validation_accuracy_stands_first(tmp_path: Path) -> None:
    for name, accuracy in {"0": 0.5, "1": 0.9, "2": 0.7}.items():
        write_run(tmp_path, name, accuracy)
    assert names(tmp_path) == ["1", "2", "0"]


@pytest.mark.parametrize(
    ("selected", "order", "figure"),
    [
        (("accuracy", "accuracy"), ["0", "1"], "accuracy"),
        (("balanced accuracy", "balanced accuracy"), ["1", "0"], "balanced accuracy"),
        (("balanced accuracy", "accuracy"), ["0", "1"], "accuracy"),
    ],
)
def test_what_chose_the_best_epochs_ranks_the_runs(
    selected: tuple[str, str], order: list[str], figure: str, tmp_path: Path
) -> None:
    for name, accuracy, balanced, chosen in zip("01", (0.9, 0.8), (0.5, 0.75), selected, strict=True):
        best = {"epoch": 1, "val_accuracy": accuracy, "val_balanced_accuracy": balanced, "val_loss": 0.5}
        write_run(tmp_path, name, best=best, selected_by=chosen, test={"best": {"accuracy": 0.25}})
    write_run(tmp_path, "2", status="failed", selected_by="accuracy")
    assert names(tmp_path) == [*order, "2"]
    heading, columns, first = ranking(tmp_path)[:3]
    assert heading.startswith(f"ranking by validation {figure} (")
    assert columns.split() == ["run", "status", "validation", *figure.split(), "test", "accuracy"]
    shown = {"accuracy": "90.00", "balanced accuracy": "75.00"}[figure]
    assert first.split() == [order[0], "finished", shown, "%", "25.00", "%"]


def test_the_lower_loss_decides_between_equals(tmp_path: Path) -> None:
    for name, loss in {"0": 0.3, "1": 0.1, "2": 0.2}.items():
        write_run(tmp_path, name, 0.9, loss)
    assert names(tmp_path) == ["1", "2", "0"]


def test_the_test_split_decides_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, "0", 0.8, test={"best": {"accuracy": 1.0}})
    write_run(tmp_path, "1", 0.9, test={"best": {"accuracy": 0.1}})
    assert names(tmp_path) == ["1", "0"]


def test_runs_without_figures_follow_and_failed_ones_stand_last(tmp_path: Path) -> None:
    write_run(tmp_path, "0", status="failed", error="no such folder")
    write_run(tmp_path, "1", 0.99, status="failed", error="the loss is nan")
    write_run(tmp_path, "2", status="running")
    write_run(tmp_path, "3", 0.0)
    assert [(row["run"], row["error"]) for row in rows(tmp_path)] == [
        ("3", ""),
        ("2", ""),
        ("1", "the loss is nan"),
        ("0", "no such folder"),
    ]


def test_a_row_speaks_of_the_best_epoch_alone(tmp_path: Path) -> None:
    write_run(tmp_path, "0", 0.9, test={"last": {"accuracy": 0.25}})
    assert rows(tmp_path)[0]["test_accuracy"] == ""


def test_a_key_that_one_run_sets_is_empty_for_the_others(tmp_path: Path) -> None:
    write_run(tmp_path, "0", 0.9, overrides=["optim.lr=0.1"])
    write_run(tmp_path, "1", 0.8, overrides=["data.root='a=b, c'"])
    assert [(row["optim.lr"], row["data.root"]) for row in rows(tmp_path)] == [("0.1", ""), ("", "a=b, c")]


@pytest.mark.parametrize(("recorded", "shown"), [({"seed": 7}, "7"), ({}, "5")])
def test_the_seed_is_shown_even_where_the_run_failed_at_once(
    tmp_path: Path, recorded: dict[str, Any], shown: str
) -> None:
    write_run(tmp_path, "0", overrides=["seed=5"], **recorded)
    assert rows(tmp_path)[0]["seed"] == shown


def test_what_is_no_run_is_left_out(tmp_path: Path) -> None:
    write_run(tmp_path, "0", 0.9)
    (tmp_path / "empty").mkdir()
    (tmp_path / "multirun.yaml").touch()
    assert names(tmp_path) == ["0"]


def test_writing_again_shows_new_runs(tmp_path: Path) -> None:
    write_run(tmp_path, "0", 0.5)
    assert names(tmp_path) == ["0"]
    write_run(tmp_path, "1", 0.9)
    assert names(tmp_path) == ["1", "0"]
    assert [path.name for path in tmp_path.glob("*.csv")] == ["leaderboard.csv"]
