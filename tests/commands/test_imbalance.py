"""Classes that differ in size, and classes that are never predicted, are said."""

import json
from pathlib import Path

import numpy as np
import pytest
from images import write_unequal_dataset
from runs import load, train
from tables import read_table
from trainings import validation_of

from maskcls.commands.imbalance import advice, report_missed, report_sizes
from maskcls.run import BEST, read_run
from maskcls.training.validation import Validation

HELP = "; data.sampling=classes draws all classes equally often in training"


@pytest.mark.parametrize(
    ("images", "draws_alike", "expected"),
    [
        ({"A": 20, "B": 20}, False, ""),
        ({"A": 29, "B": 20}, False, ""),
        ({"A": 30, "B": 20}, False, HELP),
        ({"A": 30, "B": 20}, True, ""),
    ],
)
def test_advice_is_given_where_it_helps(images: dict[str, int], expected: str, *, draws_alike: bool) -> None:
    assert advice(images, draws_alike=draws_alike) == expected


def test_unequal_classes_are_said(caplog: pytest.LogCaptureFixture) -> None:
    report_sizes({"A": 10, "B": 11}, "", "accuracy")
    assert caplog.messages == []
    report_sizes({"cat": 152, "dog": 8}, HELP, "accuracy")
    report_sizes({"cat": 152, "dog": 8}, HELP, "last")
    assert caplog.messages == [
        "the classes differ in size: always answering cat gives a validation accuracy of 95.00 %; read the balanced "
        f"accuracy beside it, or choose the best epoch by it (select=balanced_accuracy){HELP}",
        "the classes differ in size: always answering cat gives a validation accuracy of 95.00 %; read the balanced "
        f"accuracy beside it{HELP}",
    ]


def test_a_class_with_a_space_in_its_name_is_in_quotes(caplog: pytest.LogCaptureFixture) -> None:
    report_sizes({"cat": 20, "dog ": 152}, "", "accuracy")
    report_missed(3, validation_of(accuracy=0.95, largest_share=0.5, never_predicted={1: 8}), ("cat", "dog "))
    sizes, missed = caplog.messages
    assert "always answering 'dog ' gives" in sizes
    assert missed == "epoch 3: no validation image is predicted as 'dog ' (8 images)"


ONE_EACH = ", ".join(f"{name} (1 image)" for name in "ABCDE")


def test_a_class_that_is_never_predicted_is_said(caplog: pytest.LogCaptureFixture) -> None:
    report_missed(3, validation_of(accuracy=0.75, largest_share=0.5), "AB")
    assert caplog.messages == []
    report_missed(3, validation_of(accuracy=0.95, largest_share=0.95, never_predicted={1: 8}), ("cat", "dog"))
    report_missed(3, validation_of(accuracy=0.75, largest_share=0.5, never_predicted={0: 1, 2: 2}), "ABC")
    report_missed(3, validation_of(accuracy=0.5, largest_share=0.6), "AB")
    report_missed(3, validation_of(never_predicted=dict.fromkeys(range(6), 1)), "ABCDEFG")
    report_missed(3, validation_of(never_predicted=dict.fromkeys(range(7), 1)), "ABCDEFG")
    assert caplog.messages == [
        "epoch 3: no validation image is predicted as dog (8 images); the accuracy, 95.00 %, is no better than always "
        "answering with the largest class, 95.00 %",
        "epoch 3: no validation image is predicted as A (1 image), C (2 images)",
        "epoch 3: the accuracy, 50.00 %, is no better than always answering with the largest class, 60.00 %",
        f"epoch 3: no validation image is predicted as {ONE_EACH}, F (1 image)",
        f"epoch 3: no validation image is predicted as {ONE_EACH}, 2 other classes",
    ]


SMALL = ("model=mycnn", "data.input_size=16", "data.batch_size=8", "epochs=2", "device=cpu")


def test_a_training_that_answers_with_one_class_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert train(write_unequal_dataset(tmp_path / "set"), run, *SMALL, "optim.lr=0.001") == 0
    said = capsys.readouterr()
    for epoch in (1, 2):
        assert f"epoch {epoch}: no validation image is predicted as WithoutMask (1 image); the accuracy, 90" in said.err
    assert said.err.count(HELP) == 1
    assert "final epoch 2: validation accuracy 90.00 % (9 of 10, 95 % interval 59.58 to 98.21)" in said.out
    assert "), balanced accuracy 50.00 %" in said.out
    assert "best epoch: 1 of 2 classes never predicted in validation" in said.err
    rows = read_table(run / "metrics.csv")
    assert [(row["val_accuracy"], row["val_balanced_accuracy"], row["val_never_predicted"]) for row in rows] == [
        ("0.9", "0.5", "1")
    ] * 2
    record = read_run(run)
    assert record["never_predicted"] == ["WithoutMask"]
    assert record["validation"]["best"]["balanced_accuracy"] == 0.5
    assert record["test"]["best"]["balanced_accuracy"] == 0.5
    metrics = json.loads((run / "evaluation" / "test" / "metrics.json").read_text())
    assert metrics["balanced_accuracy"] == 0.5


def test_classes_that_are_drawn_alike_need_no_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(write_unequal_dataset(tmp_path / "set"), tmp_path / "run", *SMALL, "data.sampling=classes") == 0
    error = capsys.readouterr().err
    assert "the classes differ in size" in error
    assert HELP not in error


@pytest.mark.parametrize(
    ("select", "best", "why"),
    [
        ("accuracy", 3, "3, which was chosen by its accuracy"),
        ("balanced_accuracy", 1, "1, which was chosen by its balanced accuracy"),
        ("last", 4, "4, the last."),
    ],
)
def test_what_chooses_the_best_epoch_and_stops_early(
    select: str, best: int, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter(((0.7, 0.75), (0.8, 0.7), (0.9, 0.6), (0.9, 0.5), (0.9, 0.5)))

    def validate(*_: object) -> Validation:
        accuracy, balanced = next(figures)
        return validation_of(
            accuracy=accuracy, balanced_accuracy=balanced, logits=np.tile(np.eye(2, dtype=np.float32), (5, 1))
        )

    monkeypatch.setattr("maskcls.training.validation.Validator.validate", validate)
    run = tmp_path / "run"
    more = (f"select={select}", "early_stopping.patience=1", "epochs=6", "test=none")
    assert train(write_unequal_dataset(tmp_path / "set"), run, *SMALL, *more) == 0
    assert read_run(run)["best"]["epoch"] == load(run, BEST).document.progress.epoch == best
    assert load(run).document.progress.epoch == (2 if select == "balanced_accuracy" else 4)
    assert f"in epoch {why}" in (run / "model_card.md").read_text()
