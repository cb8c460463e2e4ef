"""What is said about a training that is resumed with other keys."""

import json
from pathlib import Path

import pytest
import yaml
from checkpoints import Missing
from images import write_dataset
from runs import differences_of_weights, figures, load, resume, rewrite, train

from maskcls.config import as_dictionary
from maskcls.models.document import EpochRow
from maskcls.run import LAST, read_run


@pytest.mark.parametrize(
    ("schedule", "overrides", "said"),
    [
        (
            "cosine",
            ["epochs=4"],
            "epochs=4 changes the length of schedule=cosine: the learning rate was 0 and is 0.00",
        ),
        (
            "onecycle",
            ["epochs=4"],
            "epochs=4 changes the length of schedule=onecycle: the learning rate was 1e-06 and is 0.00",
        ),
        (
            "cosine",
            ["epochs=4", "schedule=constant", "optim.lr=0.0005"],
            "schedule=constant: the learning rate was 0 and is 0.0005 from here on; optim.lr=RATE sets another",
        ),
        (
            "cosine",
            ["epochs=4", "schedule=constant"],
            "schedule=constant: the learning rate was 0 and is 0.01 from here on; optim.lr=RATE sets another",
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


def test_a_run_of_an_older_version_goes_on(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ("model=mycnn", "data.input_size=16", "data.batch_size=8", "test=none", "device=cpu")
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert train(dataset, whole, *small, "epochs=2") == 0
    assert train(dataset, run, *small, "epochs=1") == 0
    config = yaml.safe_load((run / "config.yaml").read_text())
    for keys, names in ((config, ("select", "init")), (config["data"], ("resize", "class_map", "splits"))):
        for name in names:
            del keys[name]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    last = run / "checkpoints" / LAST
    rows = [
        {key: value for key, value in row.items() if not key.startswith(("val_balanced", "val_never"))}
        for row in as_dictionary(load(run).document)["training"]["rows"]
    ]
    rewrite(last, last, {"config": config, "resize": Missing.KEY, "training.rows": rows, "progress.best": rows[0]})
    capsys.readouterr()
    assert resume(run, "epochs=2") == 0
    assert (
        "begun by an older version of maskcls: its defaults hold for the new keys select, init, data.resize, "
        "data.class_map, data.splits\n"
    ) in capsys.readouterr().out
    assert differences_of_weights(load(whole), load(run)) == []
    assert [row["val_balanced_accuracy"] for row in figures(run)] == ["", figures(whole)[1]["val_balanced_accuracy"]]


SMALL = ("model=mycnn", "data.input_size=16", "data.batch_size=8", "device=cpu")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["epochs=1"], "epochs=1, but epoch 2 has begun; give that or more"),
        (["epochs=4", "data.root={other}"], "other does not hold the files that this run began with"),
        (["epochs=4", "device=cuda:99"], "device=cuda:99"),
    ],
)
@pytest.mark.parametrize("status", ["finished", "interrupted"])
def test_a_refused_resumption_leaves_the_run_as_it_was(
    status: str,
    overrides: list[str],
    message: str,
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, other = tmp_path / "run", write_dataset(tmp_path / "other", {"train": 6, "val": 4, "test": 4})
    assert train(dataset, run, *SMALL, "epochs=2") == 0
    if status == "interrupted":
        record = read_run(run) | {"status": status}
        (run / "run.json").write_text(json.dumps(record))
    elif overrides == ["epochs=1"]:  # a finished run has finished, then
        overrides = ["epochs=1", "device=cpu"]
        message = "device=cpu: "
    files = [path for path in run.rglob("*") if path.is_file() and path.suffix != ".log"]
    before = {path: path.read_bytes() for path in files}
    capsys.readouterr()
    assert resume(run, *(text.format(other=other) for text in overrides)) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in files} == before
    assert not (run / "run.lock").exists()
    if status == "finished":
        assert resume(run) == 0
        assert "has finished, after 2 epochs" in capsys.readouterr().out
        assert {path: path.read_bytes() for path in files} == before
    else:  # it goes on, and the card says nothing of what was refused
        assert resume(run) == 0
        assert (run / "model_card.md").read_text().count("maskcls-train ") == 1
        assert [entry["overrides"][1:] for entry in read_run(run)["resumed"]] == [[]]
