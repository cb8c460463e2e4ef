"""The training command from a folder of images to a run directory."""

import csv
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from configuration import small, start_run
from images import write_dataset, write_image

from maskcls import cli
from maskcls.commands.train import compiles, keep_resident, load_data, train
from maskcls.config import as_dictionary, parse
from maskcls.data import streaming
from maskcls.data.decode import read_image
from maskcls.data.streaming import StreamedImages
from maskcls.errors import UserError
from maskcls.models.checkpoint import TRAINING_CONTENTS, load_checkpoint


def rows_of(directory: Path) -> list[dict[str, str]]:
    with (directory / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def figures(directory: Path) -> list[tuple[str, ...]]:
    """The rows of metrics.csv without timings."""
    timings = ("seconds", "images_per_second", "data_wait")
    return [tuple(v for k, v in row.items() if k not in timings) for row in rows_of(directory)]


def trained(directory: Path, root: Path, *overrides: str) -> Path:
    config = small(root, *overrides)
    run = start_run(directory, config)
    train(config, run)
    run.finish("finished", 0)
    return directory


def weights(directory: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return load_checkpoint(directory / "checkpoints" / f"{name}.pt")["model"]


def test_a_run_directory_holds_all_that_the_run_made(dataset: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", dataset, "plots=true", "test=both")
    files = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    assert files == [
        "checkpoints/best.pt",
        "checkpoints/last.pt",
        "checkpoints/previous.pt",
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


def test_training_learns_and_writes_a_row_an_epoch(dataset: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", dataset, "epochs=4", "optim=adam")
    rows = rows_of(run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["step"] for row in rows] == ["6", "12", "18", "24"]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert float(rows[-1]["val_accuracy"]) >= 0.9
    assert list(rows[0]) == [
        "epoch", "step", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
        "images_per_second", "seconds", "data_wait",
    ]  # fmt: skip
    assert all(0 <= float(row["data_wait"]) < 1 for row in rows)


def test_checkpoints_hold_what_inference_and_resuming_need(dataset: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", dataset, "data.positive_class=WithMask")
    best, last = (load_checkpoint(run / "checkpoints" / f"{name}.pt") for name in ("best", "last"))
    assert best["classes"] == ["WithMask", "WithoutMask"]
    assert best["positive_class"] == "WithMask"
    assert best["normalization"]["mean"] == (0.5685, 0.4648, 0.4162)
    assert best["config"] == as_dictionary(small(dataset, "data.positive_class=WithMask"))
    assert last["progress"]["epoch"] == 2
    assert set(last) - set(best) == set(TRAINING_CONTENTS)


@pytest.mark.parametrize("schedule", ["constant", "onecycle", "cosine"])
@pytest.mark.parametrize("optim", ["sgd", "adam", "adamw"])
def test_every_schedule_and_optimizer_makes_checkpoints_that_load(
    optim: str, schedule: str, dataset: Path, tmp_path: Path
) -> None:
    run = trained(tmp_path / "run", dataset, f"optim={optim}", f"schedule={schedule}")
    last = load_checkpoint(run / "checkpoints" / "last.pt")
    assert last["optimizer"]["state"]
    assert last["progress"]["step"] == 12


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_every_precision_trains(precision: str, dataset: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", dataset, f"precision={precision}", "epochs=4", "optim=adam")
    assert float(rows_of(run)[-1]["val_accuracy"]) >= 0.9
    assert load_checkpoint(run / "checkpoints" / "best.pt")["precision"] == precision


def test_a_seed_repeats_a_run_bit_for_bit_and_another_does_not(dataset: Path, tmp_path: Path) -> None:
    first, again, other = (
        trained(tmp_path / name, dataset, f"seed={seed}", "augment=light", "ema_decay=0.9")
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert figures(first) == figures(again) != figures(other)
    assert all(torch.equal(a, b) for a, b in zip(weights(first).values(), weights(again).values(), strict=True))


def test_plots_change_no_figure(dataset: Path, tmp_path: Path) -> None:
    plain, drawn = (trained(tmp_path / plots, dataset, f"plots={plots}") for plots in ("false", "true"))
    assert figures(plain) == figures(drawn)


def test_the_average_is_validated_and_kept(dataset: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", dataset, "ema_decay=0.9", "epochs=1")
    averaged = load_checkpoint(run / "checkpoints" / "last.pt")["ema"]["weights"]
    best = weights(run, "best")
    assert all(torch.equal(best[name], averaged[name]) for name in best)
    assert not torch.equal(best["classifier.weight"], weights(run, "last")["classifier.weight"])


def test_no_checkpoint_but_the_named_ones_touches_test(dataset: Path, tmp_path: Path) -> None:
    for name, expected in (("none", set()), ("best", {"best"}), ("last", {"last"}), ("both", {"best", "last"})):
        config = small(dataset, f"test={name}", "epochs=1")
        run = start_run(tmp_path / name, config)
        train(config, run)
        assert set(run.record.get("test", {})) == expected
        assert (tmp_path / name / "evaluation").exists() == bool(expected)


def test_a_data_set_without_a_test_split_trains_and_says_so(tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    root = write_dataset(tmp_path / "set", {"train": 8, "val": 4})
    run = trained(tmp_path / "run", root)
    assert f"not tested: {root} has no test split" in caplog.text
    assert not (run / "evaluation").exists()


def test_a_tree_without_splits_is_cut(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", {"": 20})
    config = small(root)
    counts = {name: len(split) for name, split in load_data(config.data).splits.items()}
    assert counts == {"train": 32, "val": 4, "test": 4}


def test_early_stopping_ends_a_run(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", {"train": 8, "val": 4})
    run = trained(tmp_path / "run", root, "epochs=30", "optim.lr=1e-9", "early_stopping.patience=3")
    assert len(rows_of(run)) == 4


def test_normalization_can_be_measured(dataset: Path, tmp_path: Path) -> None:
    data = load_data(small(dataset, "data.normalization=dataset").data)
    images = np.asarray(data.splits["train"].images) / 255
    assert data.normalization.mean == pytest.approx(images.mean((0, 1, 2)), abs=1e-5)
    assert data.normalization.std == pytest.approx(images.std((0, 1, 2)), abs=1e-5)


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


def test_a_positive_class_that_is_no_class_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.positive_class=Withmask: the classes are .*did you mean 'WithMask'"):
        trained(tmp_path / "run", dataset, "data.positive_class=Withmask")


def test_synthetic_figures_are_marked_as_such(tmp_path: Path, caplog) -> None:
    from configuration import config_of

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


def same_weights(one: Path, other: Path) -> bool:
    pairs = zip(weights(one).items(), weights(other).items(), strict=True)
    return all(name == other_name and torch.equal(a, b) for (name, a), (other_name, b) in pairs)


def test_the_threads_are_those_asked_for(dataset: Path, tmp_path: Path, caplog) -> None:
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


def test_streamed_images_change_no_figure(dataset: Path, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    settings = ("augment=light", "data.normalization=dataset", "plots=true", "test=both")
    streamed = trained(tmp_path / "streamed", dataset, "data.cache_gb=0", "data.workers=2", *settings)
    told = [message for message in caplog.messages if "decod" in message]
    line = "the images take 0.0 GB at 16 pixels, more than data.cache_gb=0: not cached, but decoded in 2 threads each"
    assert told == [f"{line} time"] * 2  # the second of the equalised test images
    assert not (tmp_path / "cache").exists()
    cached = trained(tmp_path / "cached", dataset, *settings)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 4  # train, val, test, and test equalised
    assert figures(streamed) == figures(cached)
    assert same_weights(streamed, cached)
    records = [json.loads((run / "run.json").read_text()) for run in (streamed, cached)]
    assert records[0]["test"] == records[1]["test"]
    for name in ("evaluation/test/predictions.csv", "evaluation/test_last/predictions.csv", "plots/samples.png"):
        assert (streamed / name).read_bytes() == (cached / name).read_bytes()


def test_streamed_images_cannot_be_resident(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        trained(tmp_path / "run", dataset, "data.cache_gb=0", "data.resident=true")
    assert str(caught.value) == ("data.resident=true: the images are more than the cache may hold, see data.cache_gb")


@pytest.fixture
def breaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of which train/WithMask/3.png is emptied once it has been read."""
    root = write_dataset(tmp_path / "set", {"train": 8, "val": 4})
    victim = root / "train" / "WithMask" / "3.png"

    def read(path: Path, size: int, *preparation: object) -> np.ndarray:
        image = read_image(path, size)
        if path == victim:
            victim.write_bytes(b"")
        return image

    monkeypatch.setattr(streaming, "read_image", read)
    return root


def test_a_file_that_breaks_while_streaming_ends_the_training_with_its_name(breaking: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        trained(tmp_path / "run", breaking, "data.cache_gb=0", "epochs=3")
    assert str(caught.value) == (
        f"an image file cannot be read, repair or remove it: {breaking}/train/WithMask/3.png: the file is empty"
    )
    assert [row["epoch"] for row in rows_of(tmp_path / "run")] == ["1"]
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")["progress"]["epoch"] == 1


def test_a_file_that_breaks_while_streaming_is_wrong_input(breaking: Path, capsys) -> None:
    overrides = [
        "model=mycnn", "data=folder", f"data.root={breaking}", "data.input_size=16", "data.batch_size=8", "epochs=2",
        "device=cpu", "precision=float32", "plots=false", "data.cache_gb=0", "hydra.run.dir=run",
    ]  # fmt: skip
    assert cli.main("train", overrides) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
    assert line == (
        "maskcls-train: an image file cannot be read, repair or remove it: "
        f"{breaking}/train/WithMask/3.png: the file is empty"
    )
    record = json.loads(Path("run/run.json").read_text())
    assert (record["status"], record["exit_status"]) == ("failed", 2)  # kept: it has a checkpoint


@pytest.mark.parametrize(
    ("resident", "device", "free", "expected"),
    [
        ("auto", "cpu", 0, False),
        ("auto", "mps", 0, False),
        ("auto", "cuda", 2 * 64 * 16 * 16 * 3, True),  # 64 images for training and validation
        ("auto", "cuda", 2 * 64 * 16 * 16 * 3 - 1, False),
        ("true", "cpu", 0, True),
        ("true", "mps", 0, True),
        ("true", "cuda", 0, True),
        ("false", "cuda", 1 << 40, False),
    ],
)
def test_images_stay_on_the_device(
    resident: str, device: str, free: int, expected: bool, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (free, 1 << 40))
    config = small(dataset, f"data.resident={resident}").data
    assert keep_resident(config, load_data(config), torch.device(device)) is expected


@pytest.mark.parametrize("resident", ["auto", "false"])
def test_streamed_images_are_not_resident_by_themselves(
    resident: str, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (1 << 40, 1 << 40))
    config = small(dataset, f"data.resident={resident}", "data.cache_gb=0").data
    data = load_data(config)
    assert {type(split.images) for split in data.splits.values()} == {StreamedImages}
    assert keep_resident(config, data, torch.device("cuda")) is False


@pytest.mark.parametrize(
    ("value", "device", "steps", "expected"),
    [
        ("auto", "cuda", 15_000, True),  # an epoch, of two
        ("auto", "cuda", 14_999, False),
        ("auto", "cpu", 1_000_000, False),
        ("auto", "mps", 1_000_000, False),
        ("true", "cpu", 1, True),
        ("true", "cuda", 1, True),
        ("false", "cuda", 1_000_000, False),
    ],
)
def test_a_model_is_compiled_where_it_pays_or_is_asked_for(
    value: str, device: str, steps: int, expected: bool, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maskcls.commands.train._can_compile", lambda: True)
    assert compiles(small(dataset, f"compile={value}"), torch.device(device), steps) is expected


def test_a_model_is_not_compiled_of_itself_where_there_is_no_compiler(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: True)
    for found, expected in ((None, False), ("/usr/bin/gcc", True)):
        monkeypatch.setattr(shutil, "which", lambda name, found=found: found)
        assert compiles(small(dataset), torch.device("cuda"), 1_000_000) is expected
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: False)
    assert not compiles(small(dataset), torch.device("cuda"), 1_000_000)


@pytest.mark.parametrize(("value", "times"), [("true", 1), ("false", 0), ("auto", 0)])
def test_the_model_is_compiled_once_a_run(
    value: str, times: int, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[torch.nn.Module] = []
    batches: list[torch.Size] = []

    def compile_model(model: torch.nn.Module, **options: Any) -> Any:
        compiled.append(model)
        assert options["dynamic"] is False

        def forward(inputs: torch.Tensor) -> torch.Tensor:
            batches.append(inputs.shape)
            return model(inputs)

        return forward

    monkeypatch.setattr(torch, "compile", compile_model)
    run = trained(tmp_path / "run", dataset, f"compile={value}", "ema_decay=0.9", "data.batch_size=20")
    assert [type(model).__name__ for model in compiled] == ["MyCNN"] * times
    # the training batches of two epochs, and no other: validation does without
    assert batches == [(size, 3, 16, 16) for size in (20, 20, 8) * 2] * times
    plain = trained(tmp_path / "plain", dataset, "ema_decay=0.9", "data.batch_size=20")
    assert figures(run) == figures(plain)
    assert same_weights(run, plain)


@pytest.mark.slow
def test_a_compiled_run_gives_the_figures_and_the_files_of_another(dataset: Path, tmp_path: Path) -> None:
    # without dropout, for which a compiled model draws other random numbers
    settings = ("ema_decay=0.9", "model.dropout=0", "epochs=1")
    plain, compiled = (trained(tmp_path / value, dataset, f"compile={value}", *settings) for value in ("false", "true"))
    for name in ("last", "best"):
        assert list(weights(compiled, name)) == list(weights(plain, name))  # and no _orig_mod in the names
    last = load_checkpoint(compiled / "checkpoints" / "last.pt")
    assert list(last["ema"]["weights"]) == list(last["model"])
    (row,), (expected,) = rows_of(compiled), rows_of(plain)
    for key in ("train_loss", "val_loss"):
        assert float(row[key]) == pytest.approx(float(expected[key]), rel=1e-4)
    for key in ("train_accuracy", "val_accuracy"):
        assert row[key] == expected[key]
