"""What is said about a training that is resumed with other keys."""

from pathlib import Path

import pytest
from runs import load, resume, train

from maskcls.models.document import EpochRow


@pytest.mark.parametrize(
    ("schedule", "overrides", "said"),
    [
        ("cosine", ["epochs=4"], "epochs=4 stretches schedule=cosine: the learning rate, 0 so far, is 0.00"),
        ("onecycle", ["epochs=4"], "epochs=4 stretches schedule=onecycle: the learning rate, 1e-06 so far, is 0.00"),
        (
            "cosine",
            ["epochs=4", "schedule=constant", "optim.lr=0.0005"],
            "schedule=constant: the learning rate, 0 so far, is 0.0005 from here on; optim.lr=RATE holds another",
        ),
        (
            "cosine",
            ["epochs=4", "schedule=constant"],
            "schedule=constant: the learning rate, 0 so far, is 0.01 from here on; optim.lr=RATE holds another",
        ),
        ("constant", ["epochs=4"], None),
    ],
)
def test_a_finished_training_that_goes_on_says_what_becomes_of_its_learning_rate(
    schedule: str,
    overrides: list[str],
    said: str | None,
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    small = ("model=mycnn", "data.input_size=16", "data.batch_size=8", "epochs=2", "test=none", "device=cpu")
    assert train(dataset, run, *small, f"schedule={schedule}") == 0
    capsys.readouterr()
    assert resume(run, *overrides) == 0
    error = capsys.readouterr().err
    assert ("the learning rate" in error) == (said is not None)
    assert (said or "") in error
    rates = [row.learning_rate for row in last_rows(run)]
    assert len(rates) == 4
    if "schedule=constant" in overrides:
        assert rates[2] == rates[3] == (0.0005 if "optim.lr=0.0005" in overrides else 0.01)
        # and that is its configuration from now on
        assert resume(run, "epochs=5") == 0
        assert "the learning rate" not in capsys.readouterr().err
        assert last_rows(run)[4].learning_rate == rates[3]


def last_rows(run: Path) -> tuple[EpochRow, ...]:
    """The rows of a run's last checkpoint."""
    training = load(run).document.training
    assert training is not None
    return training.rows


def test_another_number_format_is_said(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    small = ("model=mycnn", "data.input_size=16", "data.batch_size=8", "epochs=1", "test=none", "device=cpu")
    assert train(dataset, run, *small) == 0
    config = run / "config.yaml"  # as precision=auto gives on another machine
    config.write_text(config.read_text().replace("precision: float32", "precision: bfloat16"))
    capsys.readouterr()
    assert resume(run, "epochs=2") == 0
    assert "begun in float32, resumed in bfloat16: " in capsys.readouterr().err
