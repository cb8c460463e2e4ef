"""The training command from a folder of images to a run directory."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from configuration import config_of, small, start_run
from images import write_dataset, write_image
from runs import figures, load
from tables import read_table
from torch import Tensor, nn

from maskcls import cli
from maskcls.commands.train import train
from maskcls.config import as_dictionary, parse
from maskcls.errors import UserError
from maskcls.models.precision import Precision
from maskcls.run import BEST, LAST, read_run
from maskcls.training.checkpoints import CheckpointWriter
from maskcls.training.state import TrainingState

ADAM = {"step", "exp_avg", "exp_avg_sq"}


def trained(directory: Path, root: Path, *overrides: str) -> Path:
    config = small(root, *overrides)
    run = start_run(directory, config)
    train(config, run)
    run.finish("finished", 0)
    return directory


def same_weights(one: Path, other: Path) -> bool:
    pairs = zip(load(one).weights.items(), load(other).weights.items(), strict=True)
    return all(name == other_name and torch.equal(a, b) for (name, a), (other_name, b) in pairs)


def test_backward_passes_multiply_as_the_precision_says_as_well(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_blocks: list[Precision] = []
    during_backward: list[list[Precision]] = []
    backward = Tensor.backward

    @contextmanager
    def products(precision: Precision) -> Iterator[None]:
        open_blocks.append(precision)
        yield
        open_blocks.pop()

    def noted(loss: Tensor) -> None:
        during_backward.append([*open_blocks])
        backward(loss)

    monkeypatch.setattr(Precision, "products", products)
    monkeypatch.setattr(Tensor, "backward", noted)
    trained(tmp_path / "run", dataset)
    assert during_backward == [[Precision("float32", "cpu")]] * 12
    assert open_blocks == []


def test_the_device_of_a_training_is_the_current_one(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[torch.device] = []
    monkeypatch.setattr("maskcls.commands.train.use_device", used.append)
    trained(tmp_path / "run", dataset, "test=none")
    assert used == [torch.device("cpu")]


def test_a_run_directory_holds_all_that_the_run_made(dataset: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", dataset, "plots=true", "test=both")
    files = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    assert files == [
        "checkpoints/best.safetensors",
        "checkpoints/last.safetensors",
        "checkpoints/previous.safetensors",
        "config.yaml",
        "evaluation/test/confusion_matrix.png",
        "evaluation/test/metrics.json",
        "evaluation/test/predictions.csv",
        "evaluation/test/predictions_equalised.csv",
        "evaluation/test/reliability.png",
        "evaluation/test_last/confusion_matrix.png",
        "evaluation/test_last/metrics.json",
        "evaluation/test_last/predictions.csv",
        "evaluation/test_last/predictions_equalised.csv",
        "evaluation/test_last/reliability.png",
        "metrics.csv",
        "model_card.md",
        "plots/class_distribution.png",
        "plots/curves.png",
        "plots/samples.png",
        "run.json",
    ]
    config = parse("train", yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8")))
    assert config == small(dataset, "plots=true", "test=both")
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["data"]["images"]["train"] == {"WithMask": 24, "WithoutMask": 24}
    assert (record["seed"], record["device"], record["precision"]) == (0, "cpu", "float32")
    assert record["test"]["best"]["images"] == 12
    assert set(record["seconds"]) == {"data", "plots", "train", "validate", "test", "total"}
    assert all(seconds > 0 for seconds in record["seconds"].values())
    rows = read_table(run / "metrics.csv")
    spent = record["seconds"]["train"] + record["seconds"]["validate"]
    assert spent == pytest.approx(sum(float(row["seconds"]) for row in rows), abs=0.01)


def test_training_learns_and_writes_a_row_an_epoch(dataset: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", dataset, "epochs=4", "optim=adam")
    rows = read_table(run / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["step"] for row in rows] == ["6", "12", "18", "24"]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert float(rows[-1]["val_accuracy"]) >= 0.9
    assert list(rows[0]) == [
        "epoch", "step", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
        "images_per_second", "seconds", "data_wait", "val_balanced_accuracy", "val_never_predicted",
    ]  # fmt: skip
    assert all(0 <= float(row["data_wait"]) < 1 for row in rows)


def test_checkpoints_hold_what_inference_and_resuming_need(dataset: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", dataset, "data.positive_class=WithMask", "evaluation.threshold=recall@1")
    best, last = (load(run, name) for name in (BEST, LAST))
    for document in (best.document, last.document):
        assert document.classes == ("WithMask", "WithoutMask")
        assert document.positive_class == "WithMask"
        assert document.normalization.mean == (0.5685, 0.4648, 0.4162)
        expected = small(dataset, "data.positive_class=WithMask", "evaluation.threshold=recall@1")
        assert document.config == as_dictionary(expected)
        assert document.threshold != 0.5
        assert document.data_fingerprint == read_run(run)["data"]["fingerprint"]
    assert last.document.progress.epoch == 2
    assert best.snapshot is None
    assert best.document.training is None
    assert last.snapshot is not None
    assert last.document.training is not None
    assert [vars(row) for row in last.document.training.rows] == [
        {name: json.loads(value) for name, value in row.items()} for row in read_table(run / "metrics.csv")
    ]


@pytest.mark.parametrize("schedule", ["constant", "onecycle", "cosine"])
@pytest.mark.parametrize(("optim", "kept"), [("sgd", {"momentum_buffer"}), ("adam", ADAM), ("adamw", ADAM)])
def test_every_schedule_and_optimizer_makes_checkpoints_that_load(
    optim: str, kept: set[str], schedule: str, dataset: Path, tmp_path: Path
) -> None:
    run = trained(tmp_path / "run", dataset, f"optim={optim}", f"schedule={schedule}", "test=none")
    last = load(run)
    assert last.snapshot is not None
    assert [set(state) for state in last.snapshot.optimizer.values()] == [kept] * 8
    assert last.document.progress.step == 12


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_every_precision_trains(precision: str, dataset: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", dataset, f"precision={precision}", "epochs=4", "optim=adam")
    assert float(read_table(run / "metrics.csv")[-1]["val_accuracy"]) >= 0.9
    assert load(run, BEST).document.precision == precision
    assert read_run(run)["precision"] == precision


def test_a_seed_repeats_a_run_bit_for_bit_and_another_does_not(dataset: Path, tmp_path: Path) -> None:
    first, again, other = (
        trained(tmp_path / name, dataset, f"seed={seed}", "augment=light", "ema_decay=0.9")
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert figures(first) == figures(again) != figures(other)
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_plots_change_no_figure(dataset: Path, tmp_path: Path) -> None:
    plain, drawn = (trained(tmp_path / plots, dataset, f"plots={plots}") for plots in ("false", "true"))
    assert figures(plain) == figures(drawn)


def test_the_average_is_validated_and_kept(dataset: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", dataset, "ema_decay=0.9", "epochs=1")
    best, last = load(run, BEST).weights, load(run)
    assert last.snapshot is not None
    assert all(torch.equal(best[name], last.snapshot.average[name]) for name in best)
    assert not torch.equal(best["classifier.weight"], last.weights["classifier.weight"])


def test_early_stopping_ends_a_run(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", {"train": 8, "val": 4})
    run = trained(tmp_path / "run", root, "epochs=30", "optim.lr=1e-9", "early_stopping.patience=3")
    assert len(read_table(run / "metrics.csv")) == 4


def test_three_classes_train(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", {"train": 8, "val": 4, "test": 4})
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for number in range(8):
            write_image(root / split / "Wrong" / f"{number}.png", rng.integers(0, 90, (32, 32, 3), dtype=np.uint8))
    run = trained(tmp_path / "run", root)
    matrix = json.loads((run / "evaluation/test/metrics.json").read_text())["confusion_matrix"]["counts"]
    assert np.array(matrix).shape == (3, 3)
    assert np.array(matrix).sum() == 16


def test_synthetic_figures_are_marked_as_such(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = config_of(
        "train", "model=mycnn", "data=synthetic", "data.train_images=8", "data.val_images=4", "data.test_images=4",
        "data.input_size=16", "epochs=1", "device=cpu", "plots=false",
    )  # fmt: skip
    train(config, start_run(tmp_path / "run", config))
    note = "say nothing about masks"
    assert caplog.text.count(note) == 2
    assert note in json.loads((tmp_path / "run/evaluation/test/metrics.json").read_text())["note"]


def test_a_directory_that_holds_a_run_is_refused(dataset: Path, tmp_path: Path) -> None:
    trained(tmp_path / "run", dataset, "epochs=1")
    with pytest.raises(UserError, match="holds a run already"):
        trained(tmp_path / "run", dataset, "epochs=1")


def test_a_last_batch_that_cannot_be_normalized_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.batch_size=47 leaves one of 48 training images for the last batch"):
        trained(tmp_path / "run", dataset, "model=resnet18", "data.input_size=32", "data.batch_size=47")


# --- threads, memory and compilation change no figure ---


def test_the_threads_are_those_asked_for(dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trained(tmp_path / "run", dataset, "threads=2", "epochs=1")
    assert torch.get_num_threads() == 2
    assert "device cpu, 2 CPU threads, precision float32 (as configured), seed 0" in caplog.messages


def test_resident_images_change_no_figure(dataset: Path, tmp_path: Path) -> None:
    moved, resident = (
        trained(tmp_path / value, dataset, f"data.resident={value}", "augment=light", "data.batch_size=7")
        for value in ("false", "true")
    )
    assert figures(moved) == figures(resident)
    assert same_weights(moved, resident)


def test_streamed_images_change_no_figure(dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings = ("augment=light", "data.normalization=dataset", "plots=true", "test=both")
    streamed = trained(tmp_path / "streamed", dataset, "data.cache_gb=0", "data.workers=2", *settings)
    told = [message for message in caplog.messages if "more than data.cache_gb=0" in message]
    assert len(told) == 2  # the second of the equalised test images
    assert all("the images take 0.0 GB at 16 pixels" in message and " 2 threads" in message for message in told)
    assert not (tmp_path / "cache").exists()
    cached = trained(tmp_path / "cached", dataset, *settings)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 4  # train, val, test, and test equalised
    assert figures(streamed) == figures(cached)
    assert same_weights(streamed, cached)
    records = [json.loads((run / "run.json").read_text()) for run in (streamed, cached)]
    assert records[0]["test"] == records[1]["test"]
    for name in ("evaluation/test/predictions.csv", "evaluation/test_last/predictions.csv", "plots/samples.png"):
        assert (streamed / name).read_bytes() == (cached / name).read_bytes()


@pytest.fixture
def breaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of which train/WithMask/3.png is emptied after the first epoch."""
    root = write_dataset(tmp_path / "set", {"train": 8, "val": 4})
    save = CheckpointWriter.save

    def save_and_break(self: CheckpointWriter, state: TrainingState, *, is_best: bool = False) -> None:
        save(self, state, is_best=is_best)
        (root / "train" / "WithMask" / "3.png").write_bytes(b"")

    monkeypatch.setattr(CheckpointWriter, "save", save_and_break)
    return root


def test_a_file_that_breaks_while_streaming_ends_the_training_with_its_name(breaking: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        trained(tmp_path / "run", breaking, "data.cache_gb=0", "epochs=3")
    assert str(caught.value) == (
        f"an image file cannot be read, repair or remove it: {breaking}/train/WithMask/3.png: the file is empty"
    )
    assert [row["epoch"] for row in read_table(tmp_path / "run" / "metrics.csv")] == ["1"]
    assert load(tmp_path / "run").document.progress.epoch == 1


def test_a_file_that_breaks_while_streaming_is_wrong_input(breaking: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [
        "model=mycnn", "data=folder", f"data.root={breaking}", "data.input_size=16", "data.batch_size=8", "epochs=2",
        "device=cpu", "precision=float32", "plots=false", "data.cache_gb=0", "hydra.run.dir=run",
    ]  # fmt: skip
    assert cli.main("train", overrides) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == (
        "maskcls-train: an image file cannot be read, repair or remove it: "
        f"{breaking}/train/WithMask/3.png: the file is empty"
    )
    record = json.loads(Path("run/run.json").read_text())
    assert (record["status"], record["exit_status"]) == ("failed", 2)  # kept: it has a checkpoint


@pytest.mark.parametrize(("value", "times"), [("true", 1), ("false", 0), ("auto", 0)])
def test_the_model_is_compiled_once_a_run(
    value: str, times: int, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[nn.Module] = []
    batches: list[torch.Size] = []

    def compile_model(model: nn.Module, **options: Any) -> Callable[[Tensor], Tensor]:
        compiled.append(model)
        assert options == {"dynamic": False, "mode": None}

        def forward(inputs: Tensor) -> Tensor:
            batches.append(inputs.shape)
            logits: Tensor = model(inputs)
            return logits

        return forward

    monkeypatch.setattr(torch, "compile", compile_model)
    run = trained(tmp_path / "run", dataset, f"compile={value}", "ema_decay=0.9", "data.batch_size=20")
    assert [type(model).__name__ for model in compiled] == ["MyCNN"] * times
    # twice before the training, then the full batches of two epochs, and no other: validation does without
    assert batches == [(20, 3, 16, 16)] * 6 * times
    plain = trained(tmp_path / "plain", dataset, "ema_decay=0.9", "data.batch_size=20")
    assert figures(run) == figures(plain)
    assert same_weights(run, plain)


@pytest.mark.slow
def test_a_compiled_run_gives_the_figures_and_the_files_of_another(dataset: Path, tmp_path: Path) -> None:
    # without dropout, for which a compiled model draws other random numbers
    settings = ("ema_decay=0.9", "model.dropout=0", "epochs=1")
    plain, compiled = (trained(tmp_path / value, dataset, f"compile={value}", *settings) for value in ("false", "true"))
    for name in (LAST, BEST):
        assert list(load(compiled, name).weights) == list(load(plain, name).weights)  # and no _orig_mod in the names
    last = load(compiled)
    assert last.snapshot is not None
    assert sorted(last.snapshot.average) == sorted(last.weights)
    (row,), (expected,) = (read_table(run / "metrics.csv") for run in (compiled, plain))
    for key in ("train_loss", "val_loss"):
        assert float(row[key]) == pytest.approx(float(expected[key]), rel=1e-4)
    for key in ("train_accuracy", "val_accuracy"):
        assert row[key] == expected[key]


# --- what is said and recorded about the data ---


def test_the_result_is_the_best_validation_accuracy(dataset: Path, tmp_path: Path) -> None:
    config = small(dataset, "epochs=3", "optim=adam", "test=none")
    run = start_run(tmp_path / "run", config)
    score = train(config, run)
    accuracies = [float(row["val_accuracy"]) for row in read_table(tmp_path / "run" / "metrics.csv")]
    assert score == max(accuracies) == run.record["best"]["val_accuracy"]
    assert run.record["final"]["val_accuracy"] == accuracies[-1]


def test_files_whose_photograph_is_also_in_training_are_counted(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / "groups.csv"
    lines = ["path,group"]
    for path in sorted(dataset.rglob("*.png")):
        name = path.relative_to(dataset).as_posix()
        is_seen = path.stem in ("0", "1") and path.parent.name == "WithMask"
        lines.append(f"{name},{'shared' if is_seen else name}")
    table.write_text("\n".join(lines) + "\n")
    caplog.set_level(logging.INFO)
    run = trained(tmp_path / "run", dataset, f"data.groups={table}", "epochs=1")
    record = read_run(run)["data"]
    assert record["seen_in_training"] == {
        "val": {"WithMask": 2, "WithoutMask": 0},
        "test": {"WithMask": 2, "WithoutMask": 0},
    }
    assert record["images"]["val"] == {"WithMask": 8, "WithoutMask": 8}
    assert (
        "split as_shipped; files whose photograph is also in training: 2 WithMask of val, 2 WithMask of test. "
        "data.split=grouped has none" in caplog.messages
    )
    grouped = ("data.split=grouped", "data.val_fraction=0.2", "data.test_fraction=0.2")
    trained(tmp_path / "grouped", dataset, f"data.groups={table}", "epochs=1", *grouped)
    assert "split grouped; no photograph is in two splits" in caplog.messages


def test_what_is_not_known_of_the_data_is_said(dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run = trained(tmp_path / "run", dataset, "epochs=1")
    assert read_run(run)["data"]["seen_in_training"] is None
    assert (
        "split as_shipped; which files show the same photograph is not known (maskcls-audit finds out)"
        in caplog.messages
    )
    assert "  train     48 images: 24 WithMask, 24 WithoutMask" in caplog.messages


def test_a_class_with_a_space_at_its_end_is_in_quotes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    root = write_dataset(tmp_path / "set", {"train": 8, "val": 4})
    for split in ("train", "val"):
        (root / split / "WithMask").rename(root / split / "WithMask ")
    trained(tmp_path / "run", root, "epochs=1")
    assert f"data {root}, classes 'WithMask ', WithoutMask" in caplog.messages
    assert "  train     16 images: 8 'WithMask ', 8 WithoutMask" in caplog.messages


def test_skipped_files_are_recorded_with_the_reason(dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "data"))
    (root / "Validation" / "WithMask" / "2.png").write_bytes(b"")
    run = trained(tmp_path / "run", root, "epochs=1", "data.on_bad_image=skip")
    skipped = read_run(run)["data"]["skipped"]
    assert list(skipped) == ["Validation/WithMask/2.png"]
    assert skipped["Validation/WithMask/2.png"].endswith("the file is empty")
    assert read_run(run)["data"]["images"]["val"] == {"WithMask": 7, "WithoutMask": 8}
