"""The training command from a folder of images to a run directory."""

import csv
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from configuration import small, start_run
from images import write_dataset, write_image

from maskcls.config import as_dictionary, parse
from maskcls.errors import UserError
from maskcls.models.checkpoint import load_checkpoint
from maskcls.training.job import load_data, train


def rows_of(directory: Path) -> list[dict[str, str]]:
    with (directory / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def figures(directory: Path) -> list[tuple[str, ...]]:
    """The rows of metrics.csv without timings."""
    return [tuple(v for k, v in row.items() if k not in ("seconds", "images_per_second")) for row in rows_of(directory)]


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
        "config.yaml",
        "evaluation/test/confusion_matrix.png",
        "evaluation/test/metrics.json",
        "evaluation/test/predictions.csv",
        "evaluation/test_last/confusion_matrix.png",
        "evaluation/test_last/metrics.json",
        "evaluation/test_last/predictions.csv",
        "metrics.csv",
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


def test_checkpoints_hold_what_inference_and_resuming_need(dataset: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", dataset, "data.positive_class=WithMask")
    best, last = (load_checkpoint(run / "checkpoints" / f"{name}.pt") for name in ("best", "last"))
    assert best["classes"] == ["WithMask", "WithoutMask"]
    assert best["positive_class"] == "WithMask"
    assert best["normalization"]["mean"] == (0.5685, 0.4648, 0.4162)
    assert best["config"] == as_dictionary(small(dataset, "data.positive_class=WithMask"))
    assert last["progress"]["epoch"] == 2
    assert set(last) - set(best) == {"optimizer", "schedule", "scaler", "ema", "rng"}


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
