"""Checkpoints: what they hold, what is refused, and that no code in them runs."""

import math
import os
import re
from pathlib import Path
from typing import IO

import pytest
import torch

from maskcls.errors import UserError
from maskcls.models import build_model
from maskcls.models.archive import write_archive
from maskcls.models.checkpoint import VERSION, load_checkpoint, load_training, restore_model, save_checkpoint

CPU = torch.device("cpu")
MODEL = {"name": "mycnn", "dropout": 0.5, "default_input_size": 32}


def content(**changes: object) -> dict[str, object]:
    torch.manual_seed(0)
    return {
        "model": build_model(MODEL, 2, 16).state_dict(),
        "config": {"model": MODEL},
        "classes": ["A", "B"],
        "positive_class": None,
        "normalization": {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)},
        "input_size": 16,
        "precision": "float32",
        "temperature": 1.0,
        "threshold": 0.5,
        "data_fingerprint": "0",
        "progress": {"epoch": 1},
        **changes,
    }


def saved(path: Path, **changes: object) -> Path:
    save_checkpoint(path, content(**changes))
    return path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    loaded = load_checkpoint(saved(tmp_path / "a" / "best.pt"))
    assert (loaded["format"], loaded["version"], loaded["classes"]) == ("maskcls", VERSION, ["A", "B"])
    model, normalize = restore_model(loaded, tmp_path, CPU)
    torch.manual_seed(0)
    assert torch.equal(model.classifier.weight, build_model(MODEL, 2, 16).classifier.weight)
    assert not model.training
    assert normalize.std.flatten().tolist() == pytest.approx([0.2] * 3)


def test_the_averaged_weights_are_used_where_there_are_any(tmp_path: Path) -> None:
    averaged = {name: torch.zeros_like(weight) for name, weight in content()["model"].items()}
    path = saved(tmp_path / "last.pt", ema={"weights": averaged, "n_averaged": torch.tensor(3)})
    model, _ = restore_model(load_checkpoint(path), path, CPU)
    assert model.classifier.weight.abs().max() == 0


def test_pretrained_weights_are_not_fetched_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *a, **k: pytest.fail("fetched"))
    config = {"name": "resnet18", "pretrained": True, "default_input_size": 224}
    weights = build_model({**config, "pretrained": False}, 2, 32).state_dict()
    path = saved(tmp_path / "best.pt", config={"model": config}, model=weights, input_size=32)
    model, _ = restore_model(load_checkpoint(path), path, CPU)
    assert torch.equal(model.fc.weight, weights["fc.weight"])


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch) -> None:
    path = saved(tmp_path / "last.pt", precision="bfloat16")

    def fail(obj: object, file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", fail)
    with pytest.raises(OSError, match="No space left"):
        saved(path)
    assert load_checkpoint(path)["precision"] == "bfloat16"
    assert sorted(os.listdir(tmp_path)) == ["last.pt", "working"]  # no temporary file


def test_what_was_replaced_is_kept(tmp_path: Path) -> None:
    path, previous = tmp_path / "last.pt", tmp_path / "previous.pt"
    for precision in ("float32", "float16", "bfloat16"):
        save_checkpoint(path, content(precision=precision), previous=previous)
    assert load_checkpoint(path)["precision"] == "bfloat16"
    assert load_checkpoint(previous)["precision"] == "float16"


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": "AB"}, "'classes' is missing or of a wrong type"),
        ({"classes": ["A", "A"]}, "'classes' are not two names or more, each another"),
        ({"classes": ["A"]}, "'classes' are not two names"),
        ({"classes": ["A", "../B"]}, "'classes' holds what cannot be a folder's name"),
        ({"classes": ["A", "B\x1b[2J"]}, "'classes' holds what cannot be a folder's name"),
        ({"classes": ["A", 7]}, "'classes' holds what cannot be a folder's name"),
        ({"positive_class": "C"}, "'positive_class' is none of its classes"),
        ({"positive_class": 1}, "'positive_class' is missing or of a wrong type"),
        ({"normalization": {"mean": 1}}, "'normalization' is not a mean and a std of three channels"),
        ({"normalization": {"mean": (0, 0, 0), "std": (1, 1, math.inf)}}, "'normalization' is not"),
        ({"normalization": {"mean": (0, 0, 0), "std": (1, 1, 0)}}, "'normalization' divides by zero"),
        ({"input_size": 10**9}, "'input_size' is not from 8 to 4096"),
        ({"input_size": True}, "'input_size' is missing or of a wrong type"),
        ({"precision": "int8"}, "'precision' is not one of float32, bfloat16, float16"),
        ({"temperature": math.nan}, "'temperature' or 'threshold' is out of range"),
        ({"threshold": 2.0}, "'temperature' or 'threshold' is out of range"),
        ({"data_fingerprint": "../../etc"}, "'data_fingerprint' is no hash"),
        ({"progress": {"epoch": "1"}}, "'progress' has no epoch"),
        ({"ema": {"weights": 1}}, "'model' or 'ema' holds something that is no tensor"),
        ({"model": {"a": "tensor"}}, "'model' or 'ema' holds something that is no tensor"),
        ({"model": {1: torch.zeros(1)}}, "'model' or 'ema' holds a weight without a name"),
        ({"model": {"a": torch.tensor([math.nan])}}, "its weights are not finite numbers"),
    ],
)
def test_values_that_make_no_sense_are_refused_in_a_line(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "x.pt", **changes)
    with pytest.raises(UserError, match=f"^ckpt={path}: {re.escape(message)}") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: write_archive(path, {"state_dict": {}}), "no format 'maskcls' in it"),
        (
            lambda path: write_archive(path, {"format": "maskcls", "version": 9}),
            "of format version 9, this maskcls reads",
        ),
        (lambda path: torch.save(content(), path), "not a checkpoint of maskcls, or the end of the file is missing"),
        (lambda path: path.write_text("hello"), "not a checkpoint of maskcls, or the end of the file is missing"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_a_line(make, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    make(path)
    with pytest.raises(UserError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"model": {"name": "nonsense"}}}, "the model that it names is none of this maskcls: model.name="),
        ({"config": {"model": {"_target_": "os.system"}}}, "the model that it names is none of this maskcls"),
        ({"config": {}}, "the model that it names is none of this maskcls"),
        ({"classes": ["A", "B", "C"]}, "its weights do not fit the model that it names: classifier.weight is (2, 128)"),
        ({"input_size": 32}, "its weights do not fit the model that it names: classifier.weight is (2, 128)"),
        ({"input_size": 12}, "data.input_size=12 contradicts model=mycnn"),
        ({"input_size": 4096}, "its weights do not fit the model that it names: classifier.weight is (2, 128)"),
        ({"model": {}}, "its weights do not fit the model that it names: 'classifier.bias' is missing"),
        (
            {"model": {**build_model(MODEL, 2, 16).state_dict(), "more": torch.zeros(1)}},
            "its weights do not fit the model that it names: 'more' is superfluous",
        ),
        (
            {"model": {name: value.double() for name, value in build_model(MODEL, 2, 16).state_dict().items()}},
            "torch.float64, expected",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_a_line(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "x.pt", **changes)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        restore_model(load_checkpoint(path), path, CPU)
    assert "\n" not in str(caught.value)


def test_no_training_goes_on_from_what_is_for_inference(tmp_path: Path) -> None:
    path = saved(tmp_path / "best.pt")
    with pytest.raises(UserError, match="'optimizer' is missing or of a wrong type: no training can go on from it"):
        load_training(path)
