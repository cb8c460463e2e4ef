"""Trainings that learn nothing, and what is done about them."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from configuration import config_of
from tables import read_table

from maskcls import cli
from maskcls.models.checkpoint import load_checkpoint
from maskcls.run import read_run
from maskcls.training import health
from maskcls.training.health import Collapse, chance_loss, find_collapse, more_careful

# all of one class
COLLAPSED = torch.tensor([[1.0, 0.0], [1.0, 0.1]] * 2)
# and one answer to all
DEAD = torch.tensor([[1.0, 0.0]] * 4)


def test_the_loss_of_guessing_is_the_entropy_of_the_labels() -> None:
    assert chance_loss([0, 1] * 5, None) == pytest.approx(math.log(2))
    assert chance_loss([0, 0, 0, 1], None) == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    # classes that are drawn alike
    assert chance_loss([0, 0, 0, 1], [1, 1, 1, 3]) == pytest.approx(math.log(2))
    assert chance_loss([0, 2], None) == pytest.approx(math.log(2))  # a class without images


@pytest.mark.parametrize(
    ("step", "loss", "logits", "expected"),
    [
        (100, 0.69, COLLAPSED, Collapse(3, 0, 0.69, 0.7)),
        (100, 50.0, COLLAPSED.flip(1), Collapse(3, 1, 50.0, 0.7)),
        (99, 0.69, COLLAPSED, None),  # too early
        (2, 0.69, DEAD, Collapse(3, 0, 0.69, 0.7)),  # however early
        (2, 0.69, DEAD[:1], None),  # of one image it says nothing
        (2, 0.6, DEAD, None),
        (100, 0.6, COLLAPSED, None),  # it learns
        (100, 0.69, torch.eye(2), None),  # it tells images apart
    ],
)
def test_a_collapse_is_one_class_at_the_loss_of_guessing(
    step: int, loss: float, logits: torch.Tensor, expected: Collapse | None
) -> None:
    assert find_collapse({"epoch": 3, "step": step, "train_loss": loss}, logits, 0.7) == expected


def test_another_try_is_slower_and_warmed_up() -> None:
    config = config_of("train", "data=synthetic", "optim.lr=0.1", "epochs=4")
    assert more_careful(config, 0) is config
    second = more_careful(config, 2)
    assert second.optim.lr == pytest.approx(0.001)
    assert second.schedule.warmup_epochs == 1
    short = more_careful(config_of("train", "data=synthetic", "schedule=cosine", "epochs=1",
                                   "schedule.warmup_epochs=0.2"), 1)  # fmt: skip
    assert short.schedule.warmup_epochs == 0.5
    cycle = config_of("train", "data=synthetic", "schedule=onecycle")
    assert more_careful(cycle, 1).schedule == cycle.schedule


# rectified units that are dead from the first steps on
COLLAPSING = (
    "model=mycnn", "optim=adam", "optim.lr=3", "data=folder", "data.input_size=16", "data.batch_size=8",
    "plots=false", "threads=1", "evaluation.equalised_size=null", "epochs=3", "precision=float32",
)  # fmt: skip


@pytest.fixture
def train(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a training that collapses; its directory is returned with the exit status."""
    monkeypatch.setattr(health, "MIN_STEPS", 6)

    def run(*overrides: str) -> tuple[int, Path]:
        directory = tmp_path / "run"
        arguments = [*COLLAPSING, f"data.root={dataset}", f"hydra.run.dir={directory}", *overrides]
        return cli.main("train", arguments), directory

    return run


def test_a_collapse_is_told_once(train: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, directory = train()
    assert status == 0
    error = capsys.readouterr().err
    assert error.count("the training has collapsed: every validation image is taken for ") == 1
    assert "optim.lr, such as 0.3" in error
    assert "epoch 1: " in error
    assert list(read_run(directory)["collapses"]) == ["try 1"]
    assert len(read_table(directory / "metrics.csv")) == 3


def test_a_collapse_may_end_the_training(train: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, directory = train("health.on_collapse=fail")
    assert status == 3
    assert "maskcls-train: epoch 1: the training has collapsed" in capsys.readouterr().err
    assert read_run(directory)["status"] == "failed"


def test_a_collapsed_training_is_begun_again(train: Any, dataset: Path, tmp_path: Path, capsys: Any) -> None:
    status, directory = train("health.on_collapse=retry", "seed=1")
    assert status == 0
    record = read_run(directory)
    tries = len(record["collapses"]) + 1
    assert tries > 1
    assert "begun again at a learning rate of 0.3, with a warm-up" in capsys.readouterr().err
    rows = read_table(directory / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    stored = load_checkpoint(directory / "checkpoints" / "last.pt")
    lr = 3 / 10 ** (tries - 1)
    assert stored["config"]["optim"]["lr"] == pytest.approx(lr)
    # it is the training that this learning rate and warm-up give by themselves
    other = tmp_path / "other"
    more = (f"optim.lr={lr!r}", "schedule.warmup_epochs=1.0", "seed=1", f"hydra.run.dir={other}")
    assert cli.main("train", [*COLLAPSING, f"data.root={dataset}", *more]) == 0
    weights = [load_checkpoint(run / "checkpoints" / "last.pt")["model"] for run in (directory, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_what_collapses_again_and_again_ends_the_training(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "NOTHING_LEARNED", -math.inf)
    monkeypatch.setattr(torch.Tensor, "unique", lambda self, **_: self[:1])
    status, directory = train("health.on_collapse=retry")
    assert status == 3
    assert list(read_run(directory)["collapses"]) == ["try 1", "try 2", "try 3"]


def test_a_batch_that_is_not_finite_is_named(train: Any, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, directory = train("optim=sgd", "optim.lr=1e18", "health.on_collapse=warn")
    assert status == 3
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("maskcls-train: ")]
    failed = read_run(directory)["failed_batch"]
    assert failed["epoch"] == 1
    assert len(failed["files"]) == 8
    assert all((dataset / name).is_file() and name.startswith("Train/") for name in failed["files"])
    expected = f"epoch 1, step {failed['batch']}: the loss or its gradient is not finite, at a learning rate of 1e+18"
    assert line.startswith(f"maskcls-train: {expected}, on the batch of {', '.join(failed['files'][:3])}, ...")
    assert not (directory / "checkpoints").exists()
