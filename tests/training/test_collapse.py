"""Trainings that learn nothing, and what is done about them."""

import math
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import runs
import torch
from configuration import config_of
from runs import interrupt_at, load, resume
from tables import read_table
from torture import differences
from trainings import CPU, normalize, plan_of, row, tiny_images

from maskcls.config import ConstantConfig, CosineConfig, TrainConfig
from maskcls.data.loaders import Loader
from maskcls.errors import TrainingError
from maskcls.models.precision import Precision
from maskcls.run import read_run
from maskcls.training import collapse
from maskcls.training.build import build_state
from maskcls.training.collapse import (
    Collapse,
    CollapsedError,
    CollapsePolicy,
    chance_loss,
    find_collapse,
    more_careful,
)
from maskcls.training.loop import step
from maskcls.training.validation import Validator

# all of one class
COLLAPSED = np.array([[1.0, 0.0], [1.0, 0.1]] * 2)
# and one answer to all
DEAD = np.array([[1.0, 0.0]] * 4)


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
        (100, 50.0, COLLAPSED[:, ::-1], Collapse(3, 1, 50.0, 0.7)),
        (99, 0.69, COLLAPSED, None),  # too early
        (20, 0.69, DEAD, Collapse(3, 0, 0.69, 0.7)),  # early
        (19, 0.69, DEAD, None),
        (20, 0.69, DEAD[:1], None),  # of one image it says nothing
        (20, 0.6, DEAD, None),
        (100, 0.6, COLLAPSED, None),  # it learns
        (100, 0.69, np.eye(2), None),  # it tells images apart
    ],
)
def test_a_collapse_is_one_class_at_the_loss_of_guessing(
    step: int, loss: float, logits: np.ndarray, expected: Collapse | None
) -> None:
    assert find_collapse(row(3, step=step, train_loss=loss), logits, 0.7) == expected


@pytest.mark.parametrize(
    ("train_loss", "val_loss", "expected"),
    [
        (700.0, 0.7, Collapse(3, None, 700.0, 0.7)),
        (8.7e8, 5.0, Collapse(3, None, 8.7e8, 0.7)),
        (8.7e8, 0.6, None),  # it has come back
        (699.0, 5.0, None),
    ],
)
def test_a_loss_that_blows_up_is_a_collapse_whatever_is_predicted(
    train_loss: float, val_loss: float, expected: Collapse | None
) -> None:
    found = find_collapse(row(3, step=1, train_loss=train_loss, val_loss=val_loss), np.eye(2), 0.7)
    assert found == expected
    assert found is None or found.is_blown_up


def warmup_epochs(config: TrainConfig) -> float:
    assert isinstance(config.schedule, ConstantConfig | CosineConfig)
    return config.schedule.warmup_epochs


def test_another_try_is_slower_and_warmed_up() -> None:
    config = config_of("train", "data=synthetic", "optim.lr=0.1", "epochs=4")
    assert more_careful(config, 0) is config
    second = more_careful(config, 2)
    assert second.optim.lr == pytest.approx(0.001)
    assert warmup_epochs(second) == 1
    expected = config_of(
        "train", "data=synthetic", "epochs=4", f"optim.lr={second.optim.lr!r}", "schedule.warmup_epochs=1"
    )
    assert second == expected  # and nothing else is another
    short = more_careful(config_of("train", "data=synthetic", "schedule=cosine", "epochs=1",
                                   "schedule.warmup_epochs=0.2"), 1)  # fmt: skip
    assert warmup_epochs(short) == 0.5
    cycle = config_of("train", "data=synthetic", "schedule=onecycle")
    assert more_careful(cycle, 1).schedule == cycle.schedule


# --- what the policy does ---

SEEN = Collapse(epoch=2, label=1, train_loss=0.71234, chance_loss=math.log(2))
WHAT = (
    "epoch 2: the training has collapsed: every validation image is predicted as B, and the training loss, 0.7123, is "
    "no better than the loss of guessing, 0.6931, at a learning rate of 0.1"
)
HELP = "a lower optim.lr, such as 0.01, schedule.warmup_epochs=1 or another seed helps"


def policy(action: str) -> CollapsePolicy:
    return plan_of(1, action=action).collapse


def test_a_warning_is_given_once(caplog: pytest.LogCaptureFixture) -> None:
    policy("warn").react(SEEN, 0, is_first=True)
    policy("warn").react(SEEN, 0, is_first=False)
    assert caplog.messages == [f"{WHAT}; {HELP}, and health.on_collapse=retry does the first two"]


def test_a_loss_that_has_blown_up_is_explained(caplog: pytest.LogCaptureFixture) -> None:
    policy("warn").react(Collapse(1, None, 871142677.7, math.log(2)), 0, is_first=True)
    assert caplog.messages[0].startswith(
        "epoch 1: the training has collapsed: validation is no better than guessing, and the training loss, 8.711e+08, "
        "is no better than the loss of guessing, 0.6931, at a learning rate of 0.1; so large a loss means that the "
        "first steps threw the weights far off: "
    )
    assert caplog.messages[0].endswith(f"; {HELP}, and health.on_collapse=retry does the first two")


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(("action", "retries"), [("fail", 0), ("fail", 2), ("retry", 2)])
def test_a_training_fails(action: str, retries: int, caplog: pytest.LogCaptureFixture, *, is_first: bool) -> None:
    with pytest.raises(TrainingError) as caught:
        policy(action).react(SEEN, retries, is_first=is_first)
    assert str(caught.value) == f"{WHAT}; {HELP}"
    assert caplog.messages == []


@pytest.mark.parametrize("retries", [0, 1])
def test_a_training_is_started_again(retries: int, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CollapsedError):
        policy("retry").react(SEEN, retries, is_first=True)
    assert caplog.messages == [f"{WHAT}; starting again at a learning rate of 0.01, with a warm-up"]


# --- whole trainings ---


def first_steps(seed: int, steps: int = 4) -> tuple[list[float], Collapse | None]:
    """The losses of the first steps of study/vgg16_adam on a few small images, and the collapse that they show."""
    images = tiny_images(steps * 2, seed, size=32)
    config = config_of("train", "experiment=study/vgg16_adam", "data=synthetic", "data.input_size=32", "device=cpu")
    torch.manual_seed(seed)
    precision = Precision("float32", "cpu")
    state = build_state(config, 2, normalize(), precision, torch.Generator(), steps)
    state.model.train()
    losses = [step(state, *batch).loss.item() for batch in Loader(images, 2, CPU)]
    validation = Validator(Loader(images, 8, CPU), normalize(), None, "0.5").validate(state)
    shown = row(1, step=steps, train_loss=sum(losses) / steps, val_loss=validation.loss)
    return losses, find_collapse(shown, validation.logits, chance_loss([0, 1], None))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_the_collapse_of_the_studys_vgg16_is_seen_in_its_first_epoch(seed: int) -> None:
    losses, collapse = first_steps(seed)
    assert losses[0] == pytest.approx(math.log(2), abs=0.3)
    # Adam's first step throws it off; the study printed 8.7e8 for its first epoch
    assert max(losses[1:]) > 1e6
    assert collapse is not None
    assert collapse.is_blown_up


# rectified units that are dead from the first steps on
COLLAPSING = ("model=mycnn", "optim=adam", "optim.lr=3", "data.input_size=16", "data.batch_size=8", "epochs=3")
Train = Callable[..., tuple[int, Path]]


@pytest.fixture
def train(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Run a training that collapses; its exit status is returned with its directory."""
    monkeypatch.setattr(collapse, "MIN_STEPS", 6)
    monkeypatch.setattr(collapse, "MIN_DEAD_STEPS", 6)
    monkeypatch.setattr(collapse, "BLOWN_UP", math.inf)  # what dies slowly is seen in a later epoch

    def run(*overrides: str) -> tuple[int, Path]:
        directory = tmp_path / "run"
        return runs.train(dataset, directory, *COLLAPSING, *overrides), directory

    return run


def test_a_collapse_is_told_once(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    status, directory = train("seed=3")
    assert status == 0
    error = capsys.readouterr().err
    assert error.count("the training has collapsed: every validation image is predicted as ") == 1
    assert "optim.lr, such as 0.3" in error
    assert "epoch 1: " in error
    record = read_run(directory)
    assert list(record["collapses"]) == ["try 1"]
    assert record["collapses"]["try 1"]["epoch"] > 1  # it was seen again
    assert len(read_table(directory / "metrics.csv")) == 3


def test_a_collapse_is_told_once_although_the_training_is_interrupted_after_it(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(8, signal.SIGTERM, patch)
        status, directory = train("seed=3")
    assert status == 143
    assert "the training has collapsed" in capsys.readouterr().err
    assert resume(directory) == 0
    assert "the training has collapsed" not in capsys.readouterr().err
    assert read_run(directory)["collapses"]["try 1"]["epoch"] > 1  # it was seen again


def test_a_collapse_may_end_the_training(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    status, directory = train("health.on_collapse=fail")
    assert status == 3
    assert "maskcls-train: epoch 1: the training has collapsed" in capsys.readouterr().err
    record = read_run(directory)
    assert (record["status"], record["exit_status"]) == ("failed", 3)
    assert record["collapses"]["try 1"]["epoch"] == 1


def test_a_collapsed_training_is_started_again(
    train: Train, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, directory = train("health.on_collapse=retry", "seed=1")
    assert status == 0
    record = read_run(directory)
    tries = len(record["collapses"]) + 1
    assert tries > 1
    assert "starting again at a learning rate of 0.3, with a warm-up" in capsys.readouterr().err
    rows = read_table(directory / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    last = load(directory)
    assert last.document.training is not None
    assert last.document.training.retries == tries - 1
    lr = 3 / 10 ** (tries - 1)
    assert last.document.config["optim"]["lr"] == pytest.approx(lr)
    # it is the training that this learning rate and warm-up give by themselves
    other, more = tmp_path / "other", (f"optim.lr={lr!r}", "schedule.warmup_epochs=1.0", "seed=1")
    assert runs.train(dataset, other, *COLLAPSING, *more) == 0
    expected = load(other).weights
    assert all(torch.equal(last.weights[name], expected[name]) for name in expected)


@pytest.mark.parametrize("rate", ["0.05", "3"])  # the second is the one that collapsed
def test_a_rate_that_is_typed_after_a_collapse_is_not_divided(
    rate: str, train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, directory = train("health.on_collapse=retry", "seed=1", "test=none")
    assert status == 0
    assert read_run(directory)["trained"]["optim"]["lr"] == 0.03
    monkeypatch.setattr(collapse, "NOTHING_LEARNED", math.inf)
    assert resume(directory, "epochs=4") == 0
    said = "the training was started again after it collapsed: optim.lr=3 is divided by 100, as before"
    assert said in capsys.readouterr().out
    for epochs, typed in ((5, ("schedule=constant", f"optim.lr={rate}")), (6, ())):
        assert resume(directory, f"epochs={epochs}", *typed) == 0
        assert read_run(directory)["trained"]["optim"]["lr"] == float(rate)
        assert float(read_table(directory / "metrics.csv")[-1]["learning_rate"]) == float(rate)
        assert "is divided by" not in capsys.readouterr().out


def test_later_retries_divide_a_typed_rate() -> None:
    config = config_of("train", "data=synthetic", "optim.lr=0.1", "epochs=4")
    assert [more_careful(config, tries, 1).optim.lr for tries in (1, 2)] == pytest.approx([0.1, 0.01])


@pytest.mark.parametrize("tries", [0, 1])
def test_a_training_that_collapses_may_be_interrupted_before_and_after(
    tries: int, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retry = ("health.on_collapse=retry", "seed=1")
    status, whole = train(*retry)
    assert status == 0
    collapses = read_run(whole)["collapses"]
    steps = [6 * seen["epoch"] for seen in collapses.values()]
    assert steps[0] > 6  # the first try has written checkpoints
    whole = whole.rename(tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(sum(steps[:tries]) + 2, signal.SIGTERM, patch)
        status, directory = train(*retry)
    assert status == 143
    assert list(read_run(directory).get("collapses", {})) == ["try 1"][:tries]
    assert resume(directory) == 0
    assert differences(whole, directory) == []
    assert read_run(directory)["collapses"] == collapses


def test_nothing_is_left_of_a_collapsed_try_when_the_next_one_starts(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(config: TrainConfig, retries: int, before_rate: int) -> TrainConfig:
        if retries:
            raise ZeroDivisionError
        return config

    monkeypatch.setattr("maskcls.commands.train.more_careful", die)
    status, directory = train("health.on_collapse=retry", "seed=1")
    assert status == 1
    assert list((directory / "checkpoints").iterdir()) == []
    assert not (directory / "metrics.csv").exists()
    assert not {"final", "best"} & read_run(directory).keys()


def test_what_collapses_again_and_again_ends_the_training(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collapse, "NOTHING_LEARNED", -math.inf)
    monkeypatch.setattr(torch.Tensor, "unique", lambda self, **_: self[:1])
    status, directory = train("health.on_collapse=retry")
    assert status == 3
    assert list(read_run(directory)["collapses"]) == ["try 1", "try 2", "try 3"]


def test_a_batch_that_is_not_finite_is_named(train: Train, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, directory = train("optim=sgd", "optim.lr=1e18", "health.on_collapse=warn")
    assert status == 3
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("maskcls-train: ")]
    record = read_run(directory)
    assert "train" in record["seconds"]
    failed = record["failed_batch"]
    assert failed["epoch"] == 1
    assert failed["learning_rate"] == 1e18
    assert len(failed["files"]) == 8
    assert all((dataset / name).is_file() and name.startswith("Train/") for name in failed["files"])
    expected = f"epoch 1, step {failed['batch']}: the loss or its gradient is not finite, at a learning rate of 1e+18"
    assert line.startswith(f"maskcls-train: {expected}, on the batch of {', '.join(failed['files'][:3])}, ...")
    assert not (directory / "checkpoints").exists()
