"""The test split is used once, with the checkpoints that the configuration names."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from configuration import small, start_run
from images import write_dataset
from runs import load
from tables import read_table
from torch import Tensor

import maskcls
from maskcls.commands.testing import evaluate_on_test
from maskcls.commands.train import train
from maskcls.errors import MachineError
from maskcls.models.checkpoint import save_checkpoint
from maskcls.models.precision import Precision
from maskcls.run import BEST, CHECKPOINTS, LAST, PREVIOUS, Run, read_run
from maskcls.training.data import load_data

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of a training whose best epoch is not its last; its test split was not used."""
    folder = tmp_path_factory.mktemp("trained")
    settings = ("epochs=3", "test=none", "optim=adam", "data.positive_class=WithMask")
    config = small(dataset, *settings, f"data.cache_dir={folder / 'cache'}")
    train(config, start_run(folder / "run", config))
    save_checkpoint(folder / "run" / CHECKPOINTS / BEST, load(folder / "run", PREVIOUS).for_inference())
    return folder / "run"


def results(trained: Path, dataset: Path, directory: Path, *overrides: str) -> tuple[Run, dict[str, dict[str, Any]]]:
    """Test a copy of the training."""
    config = small(dataset, "data.positive_class=WithMask", *overrides)
    run = start_run(directory, config)
    run.checkpoints.symlink_to(trained / "checkpoints")
    return run, evaluate_on_test(config, load_data(config.data), run, CPU, Precision("float32", "cpu"))


@pytest.mark.parametrize(
    ("test", "names", "folders"),
    [
        ("none", set(), set()),
        ("best", {"best"}, {"test"}),
        ("last", {"last"}, {"test"}),
        ("both", {"best", "last"}, {"test", "test_last"}),
    ],
)
def test_no_checkpoint_but_the_named_ones_is_tested(
    test: str, names: set[str], folders: set[str], trained: Path, dataset: Path, tmp_path: Path
) -> None:
    run, metrics = results(trained, dataset, tmp_path / "run", f"test={test}")
    assert set(metrics) == set(run.record.get("test", {})) == names
    evaluation = tmp_path / "run" / "evaluation"
    assert {path.name for path in evaluation.glob("*")} == folders
    for name in names:
        folder = evaluation / ("test_last" if test == "both" and name == "last" else "test")
        written = json.loads((folder / "metrics.json").read_text())
        assert written == json.loads(json.dumps(metrics[name]))
        assert written["checkpoint"] == f"checkpoints/{name}.safetensors"
        checkpoint = load(trained, BEST if name == "best" else LAST)
        assert written["epoch"] == checkpoint.document.progress.epoch == (2 if name == "best" else 3)
        assert (written["temperature"], written["threshold"]) == (
            checkpoint.document.temperature,
            checkpoint.document.threshold,
        )
        assert (written["split"], written["data_split"], written["images"]) == ("test", "as_shipped", 12)


def test_the_figures_are_those_of_the_predictions(trained: Path, dataset: Path, tmp_path: Path) -> None:
    run, metrics = results(trained, dataset, tmp_path / "run", "test=best")
    rows = read_table(tmp_path / "run" / "evaluation" / "test" / "predictions.csv")
    assert len(rows) == 12
    correct = sum(row["label"] == row["prediction"] for row in rows)
    losses = [float(row["loss"]) for row in rows]
    recorded = run.record["test"]["best"]
    assert list(recorded) == [
        "epoch", "accuracy", "balanced_accuracy", "accuracy_interval_95", "correct", "images", "loss",
    ]  # fmt: skip
    assert (recorded["correct"], recorded["accuracy"]) == (correct, correct / 12)
    assert recorded["loss"] == metrics["best"]["loss"] == pytest.approx(np.mean(losses))
    predictor = maskcls.load(trained, device="cpu")
    predictions = predictor.predict([dataset / row["path"] for row in rows])
    for row, prediction in zip(rows, predictions, strict=True):
        assert row["prediction"] == prediction.label
        assert float(row["probability_WithMask"]) == pytest.approx(prediction.probabilities["WithMask"], abs=1e-6)


@pytest.mark.parametrize(("size", "files"), [("8", {"predictions.csv", "predictions_equalised.csv"}),
                                             ("null", {"predictions.csv"})])  # fmt: skip
def test_a_low_resolution_is_measured_as_well(
    size: str, files: set[str], trained: Path, dataset: Path, tmp_path: Path
) -> None:
    _, metrics = results(trained, dataset, tmp_path / "run", f"evaluation.equalised_size={size}")
    folder = tmp_path / "run" / "evaluation" / "test"
    assert {path.name for path in folder.glob("*.csv")} == files
    assert ("equalised" in metrics["best"]["slices"]) == (len(files) == 2)
    if len(files) == 2:
        own, low = (read_table(folder / name) for name in sorted(files))
        assert [row["path"] for row in own] == [row["path"] for row in low]
        assert [row["loss"] for row in own] != [row["loss"] for row in low]


def test_files_of_photographs_that_were_trained_on_are_a_slice(trained: Path, dataset: Path, tmp_path: Path) -> None:
    table, lines = tmp_path / "groups.csv", ["path,group"]
    for path in sorted(dataset.rglob("*.png")):
        name = path.relative_to(dataset).as_posix()
        lines.append(f"{name},{path.parent.name + path.stem if path.stem in '012' else name}")
    table.write_text("\n".join(lines) + "\n")
    results(trained, dataset, tmp_path / "run", f"data.groups={table}")
    rows = read_table(tmp_path / "run" / "evaluation" / "test" / "predictions.csv")
    assert {row["path"] for row in rows if row["in_train"] == "1"} == {
        f"Test/{name}/{number}.png" for name in ("WithMask", "WithoutMask") for number in range(3)
    }


def test_a_data_set_without_a_test_split_is_not_tested(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    root = write_dataset(tmp_path / "set", {"train": 8, "val": 4})
    run, metrics = results(trained, root, tmp_path / "run")
    assert metrics == {}
    assert "test" not in run.record
    assert f"not tested: {root} has no test split" in caplog.messages
    assert not (tmp_path / "run" / "evaluation").exists()


def test_it_is_said_that_nothing_is_to_be_tested(
    trained: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    results(trained, dataset, tmp_path / "run", "test=none")
    assert "not tested: test=none" in caplog.messages


def test_the_accuracy_by_slice_is_shown_for_each_checkpoint(
    trained: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    results(trained, dataset, tmp_path / "run", "test=both")
    titles = [message for message in caplog.messages if message.endswith("accuracy by slice:")]
    assert titles == ["test accuracy by slice:", "test, last checkpoint, accuracy by slice:"]
    assert sum(message.startswith("  smaller than 64 pixels") for message in caplog.messages) == 2


def test_memory_that_runs_out_is_explained(
    trained: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Tensor:
        raise MemoryError

    monkeypatch.setattr("maskcls.inference.predictor.predict_logits", fail)
    message = r"^out of memory at data\.eval_batch_size=32: .* data\.eval_batch_size=16 should fit$"
    with pytest.raises(MachineError, match=message):
        results(trained, dataset, tmp_path / "run", "data.eval_batch_size=32")


def test_training_uses_the_test_split_after_the_last_epoch(dataset: Path, tmp_path: Path) -> None:
    config = small(dataset, "test=both")
    run = start_run(tmp_path / "run", config)
    train(config, run)
    run.finish("finished", 0)
    record = read_run(tmp_path / "run")
    assert record["test"]["last"]["epoch"] == 2
    assert record["test"]["best"]["epoch"] == record["best"]["epoch"]
    assert "Not tested." not in (tmp_path / "run" / "model_card.md").read_text()


def test_figures_of_a_shorter_training_are_not_kept_as_those_of_a_longer_one(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = small(dataset, "epochs=1")
    run = start_run(tmp_path / "run", config)
    train(config, run)
    assert "test" in run.record
    run.finish("finished", 0)
    resumed = Run.resume(tmp_path / "run", ["epochs=2", "test=none"])
    train(small(dataset, "epochs=2", "test=none"), resumed)
    assert "test" not in resumed.record
    assert "Not tested." in (tmp_path / "run" / "model_card.md").read_text()
    aside = tmp_path / "run" / "evaluation_1_epochs"
    assert f"the test after 1 epoch is not that of the run any more: it is in {aside} now" in caplog.messages
    assert json.loads((aside / "test" / "metrics.json").read_text())["epoch"] == 1
    assert not (tmp_path / "run" / "evaluation").exists()  # so that maskcls-compare does not take it for the run's
    resumed.finish("finished", 0)
    caplog.clear()
    tested = Run.resume(tmp_path / "run", ["epochs=3"])
    train(small(dataset, "epochs=3"), tested)
    assert {path.name for path in (tmp_path / "run").glob("evaluation*")} == {"evaluation", "evaluation_1_epochs"}
    assert not [message for message in caplog.messages if "any more" in message]
    tested.finish("finished", 0)
    train(small(dataset, "epochs=4", "test=none"), Run.resume(tmp_path / "run", []))
    assert [message.endswith("evaluation_3_epochs now") for message in caplog.messages if "any more" in message] == [
        True
    ]
