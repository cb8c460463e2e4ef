"""Checkpoints: what they hold, what is refused, and that no code in them runs."""

import os
from pathlib import Path

import pytest
import torch

from maskcls.errors import UserError
from maskcls.models import build_model
from maskcls.models.checkpoint import load_checkpoint, restore_model, save_checkpoint

CPU = torch.device("cpu")
MODEL = {"name": "mycnn", "dropout": 0.5, "default_input_size": 32}


def content(**changes: object) -> dict[str, object]:
    torch.manual_seed(0)
    return {
        "model": build_model(MODEL, 2, 16).state_dict(),
        "config": {"model": MODEL},
        "classes": ["A", "B"],
        "normalization": {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)},
        "input_size": 16,
        "precision": "float32",
        "data_fingerprint": "0",
        "progress": {"epoch": 1},
        **changes,
    }


def saved(path: Path, **changes: object) -> Path:
    save_checkpoint(path, content(**changes))
    return path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    loaded = load_checkpoint(saved(tmp_path / "a" / "best.pt"))
    assert (loaded["format"], loaded["version"], loaded["classes"]) == ("maskcls", 1, ["A", "B"])
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
    config = {"name": "resnet18", "pretrained": True}
    weights = build_model({**config, "pretrained": False}, 2, 32).state_dict()
    path = saved(tmp_path / "best.pt", config={"model": config}, model=weights, input_size=32)
    model, _ = restore_model(load_checkpoint(path), path, CPU)
    assert torch.equal(model.fc.weight, weights["fc.weight"])


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch) -> None:
    path = saved(tmp_path / "last.pt", precision="bfloat16")

    def fail(obj: object, file: Path) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", fail)
    with pytest.raises(OSError, match="No space left"):
        saved(path)
    assert load_checkpoint(path)["precision"] == "bfloat16"
    assert sorted(os.listdir(tmp_path)) == ["last.pt", "working"]  # no temporary file


class Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("was-here",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("hello"), "not a checkpoint of maskcls, or a damaged one"),
        (lambda path: path.write_bytes(b""), "not a checkpoint of maskcls, or a damaged one"),
        (lambda path: path.write_bytes(saved(path).read_bytes()[:5000]), "or a damaged one"),
        (lambda path: torch.save(Payload(), path), "not a checkpoint of maskcls, or a damaged one"),
        (lambda path: torch.save(content(extra=Payload()), path), "or a damaged one"),
        (lambda path: torch.save([1, 2], path), "no format 'maskcls' in it"),
        (lambda path: torch.save({"state_dict": {}}, path), "no format 'maskcls' in it"),
        (
            lambda path: torch.save({"format": "maskcls", "version": 9}, path),
            "of format version 9, this maskcls reads 1",
        ),
        (lambda path: saved(path, classes="AB"), "'classes' is missing or of a wrong type"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_a_line(make, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    make(path)
    with pytest.raises(UserError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert not Path("was-here").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"model": {"name": "nonsense"}}},
        {"config": {}},
        {"classes": ["A", "B", "C"]},
        {"input_size": 32},
        {"model": {}},
        {"normalization": {"mean": 1}},
    ],
)
def test_weights_that_do_not_fit_are_refused_in_a_line(changes: dict[str, object], tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", **changes)
    with pytest.raises(UserError, match="its weights do not fit the model that it names") as caught:
        restore_model(load_checkpoint(path), path, CPU)
    assert "\n" not in str(caught.value)
