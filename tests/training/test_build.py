"""From a configuration to the state of a training."""

from pathlib import Path

import pytest
import torch
from configuration import config_of
from torch import nn
from trainings import CPU, NORMALIZATION, batch_of, copy_of, normalize, same_weights

from maskcls.config import OptimConfig
from maskcls.config.types import PrecisionName
from maskcls.errors import UserError
from maskcls.models.precision import Precision
from maskcls.training.build import build_state
from maskcls.training.loop import step
from maskcls.training.state import TrainingState

TINY = ("data=synthetic", "model=mycnn", "data.input_size=8", "model.dropout=0")


def built(*overrides: str, precision: PrecisionName = "float32", steps: int = 4) -> TrainingState:
    torch.manual_seed(3)
    config = config_of("train", *TINY, *overrides)
    return build_state(config, 2, normalize(), Precision(precision, "cpu"), torch.Generator(), steps)


def test_a_training_begins_with_new_weights_of_the_global_generator() -> None:
    one, other = built(), built()
    assert same_weights(one.model, other.model)
    torch.manual_seed(4)
    config = config_of("train", *TINY)
    third = build_state(config, 2, normalize(), Precision("float32", "cpu"), torch.Generator(), 4)
    assert not same_weights(one.model, third.model)
    assert (one.progress.epoch, one.progress.step, one.sums, one.rows, one.average) == (0, 0, None, [], None)
    assert one.forward is one.model


def test_convolutions_are_channels_last() -> None:
    weights = [module.weight for module in built().model.modules() if isinstance(module, nn.Conv2d)]
    assert len(weights) == 3
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_images_are_normalized_and_augmented() -> None:
    images, _ = batch_of(2)
    expected = (images / 255 - NORMALIZATION.mean[0]) / NORMALIZATION.std[0]
    torch.testing.assert_close(built().transform(images), expected)
    flipped = built("augment=flip", "augment.flip_probability=1").transform(images)
    torch.testing.assert_close(flipped, expected.flip(3))


def test_the_augmentation_draws_from_its_own_generator() -> None:
    state, images = built("augment=light"), batch_of(4)[0]
    assert state.generator is not None
    before = torch.get_rng_state()
    first = state.transform(images)
    assert torch.equal(torch.get_rng_state(), before)
    state.generator.manual_seed(state.generator.initial_seed())
    assert torch.equal(state.transform(images), first)
    assert not torch.equal(state.transform(images), first)


def test_the_settings_reach_the_training() -> None:
    state = built(
        "label_smoothing=0.2", "ema_decay=0.9", "optim.clip_norm=2", "optim=adam", "optim.lr=0.5",
        "schedule=constant", "schedule.warmup_epochs=0.5",
    )  # fmt: skip
    logits, labels = torch.tensor([[2.0, -1.0]]), torch.tensor([0])
    expected = nn.functional.cross_entropy(logits, labels, label_smoothing=0.2)
    assert state.loss_function(logits, labels) == expected != nn.functional.cross_entropy(logits, labels)
    assert state.clip_norm == 2
    assert state.average is not None
    assert type(state.optimizer) is torch.optim.Adam
    assert state.learning_rate == pytest.approx(0.5 / 3)  # a warm-up of half an epoch of four steps


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_float16_alone_scales_the_loss(precision: PrecisionName) -> None:
    state = built(precision=precision)
    assert state.scaler.is_enabled() == (precision == "float16")
    assert state.precision.name == precision
    assert state.device == CPU


@pytest.mark.parametrize("fused", [True, False])
def test_a_scaler_that_skips_the_first_step_is_no_reason_to_warn(
    monkeypatch: pytest.MonkeyPatch, *, fused: bool
) -> None:
    def build_optimizer(config: OptimConfig, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=config.lr, fused=fused)

    monkeypatch.setattr("maskcls.training.build.build_optimizer", build_optimizer)
    state = built(precision="float16")
    before = copy_of(state.model)
    state.loss_function = lambda logits, labels: logits.sum() * 1e30  # its gradient overflows
    step(state, *batch_of())  # torch's warning would be an error here
    assert state.progress.step == 1
    assert all(torch.equal(p, b) for p, b in zip(state.model.parameters(), before, strict=True))


def test_pretrained_weights_that_cannot_be_had_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    overrides = ("data=synthetic", "data.input_size=32", "model.pretrained=true", "data.normalization=imagenet")
    config = config_of("train", *overrides)
    with pytest.raises(UserError, match=r"^model.pretrained=true: cannot get the weights from https://"):
        build_state(config, 2, normalize(), Precision("float32", "cpu"), torch.Generator(), 4)
