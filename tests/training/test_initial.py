"""Trainings that start from the weights of another one."""

import dataclasses
import signal
from pathlib import Path

import pytest
import torch
from images import write_dataset, write_unequal_dataset
from runs import differences_of_weights, figures, interrupt_at, load, resume, tensors_of, train
from trainings import ABOUT, tiny_state

from maskcls.config import MyCNNConfig, ResNet18Config, VGG16Config
from maskcls.errors import UserError
from maskcls.models.checkpoint import Checkpoint, save_checkpoint
from maskcls.models.tensor_file import read_metadata
from maskcls.run import BEST, LAST, read_run
from maskcls.training.initial import last_layer, origin_of, start_from

SMALL = ("model=mycnn", "data.input_size=16", "data.batch_size=8", "epochs=1", "device=cpu", "test=none")
# steps that change nothing
STILL = ("optim.lr=1e-30", "optim.momentum=0")


@pytest.fixture(scope="module")
def first(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a training."""
    run = tmp_path_factory.mktemp("first") / "run"
    assert train(dataset, run, *SMALL, "optim=adam", "ema_decay=0.5", "data.positive_class=WithMask") == 0
    return run


def test_the_last_layer_is_known_by_its_shape() -> None:
    assert last_layer(MyCNNConfig("mycnn", 16, 0.0), 16) == ["classifier.weight", "classifier.bias"]
    assert last_layer(ResNet18Config("resnet18", 64, pretrained=False), 64) == ["fc.weight", "fc.bias"]
    assert last_layer(VGG16Config("vgg16", 64, pretrained=False, dropout=0.5), 64) == [
        "classifier.6.weight",
        "classifier.6.bias",
    ]


@pytest.mark.parametrize(("held", "wanted"), [(True, False), (False, True)])
def test_weights_with_batch_normalization_fit_no_network_without_it(
    tmp_path: Path, *, held: bool, wanted: bool
) -> None:
    config = VGG16Config("vgg16", 32, pretrained=False, dropout=0.5, batch_norm=held)
    document = dataclasses.replace(ABOUT, model=config, input_size=32)
    save_checkpoint(tmp_path / "x.safetensors", Checkpoint({}, document))
    with pytest.raises(UserError) as caught:
        origin_of(tmp_path / "x.safetensors", dataclasses.replace(config, batch_norm=wanted))
    assert str(caught.value) == (
        f"init={tmp_path / 'x.safetensors'}: holds the weights of a VGG-16 {'with' if held else 'without'} batch "
        f"normalization; give model.batch_norm={str(held).lower()}"
    )
    assert origin_of(tmp_path / "x.safetensors", config)["classes"] == ["A", "B"]


def test_all_weights_are_taken_over_and_nothing_else(
    dataset: Path, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(dataset, run, *SMALL, *STILL, f"init={first}", "seed=3") == 0
    assert differences_of_weights(load(first, BEST), load(run)) == []
    said = capsys.readouterr()
    path = first / "checkpoints" / BEST
    digest = read_metadata(path).digest
    assert f"init: weights of epoch 1 of {first} (sha256 {digest})" in said.out
    assert "init: not taken over: its temperature and threshold" in said.out
    assert "init: " not in said.err
    assert read_run(run)["init"] == {
        "path": str(first),
        "sha256": digest,
        "epoch": 1,
        "classes": ["WithMask", "WithoutMask"],
        "data_fingerprint": read_run(first)["data"]["fingerprint"],
    }
    card = (run / "model_card.md").read_text()
    assert f"Started from the weights of `{first}`, epoch 1, sha256 `{digest}`." in card
    assert "Whether that holds images that are tested here is not known." not in card


def test_other_classes_and_images_are_said_and_make_the_last_layer_new(
    dataset: Path, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_dataset(tmp_path / "set", {"Train": 6, "Validation": 2}, seed=1)
    for folder in ("Train", "Validation"):
        (other / folder / "WithMask").rename(other / folder / "Scarf")
    run = tmp_path / "run"
    more = ("data.normalization=imagenet", f"init={first}/best")
    assert train(other, run, *SMALL, *STILL, *more) == 0
    assert differences_of_weights(load(first, BEST), load(run)) == ["classifier.bias", "classifier.weight"]
    error = capsys.readouterr().err
    new = "init: new values for classifier.weight, classifier.bias: the checkpoint"
    assert f"{new} has other classes, WithMask, WithoutMask\n" in error
    assert "init: the checkpoint was trained with another data.normalization\n" in error
    assert "Whether that holds images that are tested here is not known." in (run / "model_card.md").read_text()
    assert train(dataset, tmp_path / "large", *SMALL, *STILL, f"init={first}", "data.input_size=24") == 0
    error = capsys.readouterr().err
    assert f"{new} was trained at 16 pixels\n" in error
    assert "init: the checkpoint was trained with data.input_size=16, this training has 24\n" in error


@pytest.mark.parametrize(
    ("init", "more", "message"),
    [
        (
            "{first}",
            ["model=resnet18", "data.input_size=32"],
            "holds the weights of mycnn, which do not fit model=resn",
        ),
        ("nowhere", [], "nowhere: no such file; a run writes RUN/checkpoints/best.safetensors"),
        ("{first}/run.json", [], "run.json: not a safetensors file, or a damaged one"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_anything_is_written(
    init: str, more: list[str], message: str, dataset: Path, first: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert train(dataset, tmp_path / "run", *SMALL, *more, f"init={init.format(first=first)}") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("maskcls-train: init=")
    assert message in line
    assert not (tmp_path / "run").exists()


def test_a_resumed_training_does_not_need_them_any_more(dataset: Path, first: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((first / "checkpoints" / LAST).read_bytes())
    run = tmp_path / "run"
    assert train(dataset, run, *SMALL, f"init={copy}") == 0
    copy.unlink()
    assert resume(run, "epochs=2") == 0
    assert torch.isfinite(load(run).weights["classifier.bias"]).all()
    assert load(run).document.progress.epoch == 2


@pytest.mark.parametrize("step", [2, 5])  # in the first epoch and in the second
def test_an_interrupted_training_from_them_goes_on_bit_for_bit(
    step: int, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_unequal_dataset(tmp_path / "set")
    more = (f"init={first}", "data.sampling=classes", "select=balanced_accuracy", "ema_decay=0.9", "augment=light")
    settings = (*SMALL, *more, "optim=adam", "epochs=3", "early_stopping.patience=2")
    assert train(root, tmp_path / "whole", *settings) == 0
    with monkeypatch.context() as patch:
        interrupt_at(step, signal.SIGHUP, patch)
        assert train(root, tmp_path / "run", *settings) == 129
    assert resume(tmp_path / "run") == 0
    for name in (LAST, BEST):
        whole, run = load(tmp_path / "whole", name), load(tmp_path / "run", name)
        assert not [key for key, value in tensors_of(whole).items() if not value.equal(tensors_of(run)[key])]
    assert figures(tmp_path / "whole") == figures(tmp_path / "run")


def test_weights_that_have_changed_since_the_training_began_are_refused(first: Path) -> None:
    with pytest.raises(UserError, match=r"^init=.*run: has changed since this training began; start a new training$"):
        start_from(tiny_state(), first, "0" * 64, ABOUT)
