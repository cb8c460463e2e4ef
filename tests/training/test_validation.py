"""Validation against figures that torch and NumPy give."""

import numpy as np
import pytest
import torch
from torch import nn
from trainings import NORMALIZATION, batch_of, tiny_state, tiny_validator, validation_of

from maskcls.models.precision import Precision
from maskcls.training.loop import step
from maskcls.training.state import average_weights


def expected_logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (NORMALIZATION.mean, NORMALIZATION.std))
    with torch.no_grad():
        logits: torch.Tensor = model.eval()((images.float() / 255 - mean) / std)
    return logits


@pytest.mark.parametrize("batch_size", [5, 16, 100])
def test_loss_and_accuracy_are_means_over_all_images(batch_size: int) -> None:
    state = tiny_state()
    step(state, *batch_of(20))
    images, labels = batch_of(16, seed=2)
    validation = tiny_validator(16, batch_size).validate(state)
    logits = expected_logits(state.model, images)
    np.testing.assert_allclose(validation.logits, logits, rtol=1e-5, atol=1e-6)
    assert validation.logits.dtype == np.float32
    assert validation.loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert validation.accuracy == (logits.argmax(1) == labels).double().mean().item()


@pytest.mark.parametrize("decay", [None, 0.5])
def test_validation_draws_nothing_and_leaves_the_network_in_evaluation_mode(decay: float | None) -> None:
    state = tiny_state()
    state.average = average_weights(state.model, decay)
    state.model.train()
    state.evaluated_model.train()
    before = torch.get_rng_state()
    tiny_validator().validate(state)
    assert torch.equal(torch.get_rng_state(), before)
    assert not state.model.training
    assert not state.evaluated_model.training


def test_the_average_is_what_is_validated() -> None:
    state = tiny_state()
    state.average = average_weights(state.model, 0.9)
    for _ in range(3):
        step(state, *batch_of(20))
    images, _ = batch_of(16, seed=2)
    found = tiny_validator().validate(state).logits
    np.testing.assert_allclose(found, expected_logits(state.evaluated_model, images), rtol=1e-5, atol=1e-6)
    assert not np.allclose(found, expected_logits(state.model, images))


def test_the_forward_pass_runs_in_the_precision() -> None:
    state = tiny_state()
    state.precision = Precision("bfloat16", "cpu")
    seen = []
    next(state.model.children()).register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    assert tiny_validator().validate(state).logits.dtype == np.float32
    assert set(seen) == {torch.bfloat16}


def test_calibration_is_fitted_to_the_validation_images() -> None:
    labels = batch_of(16, seed=2)[1]
    logits = torch.eye(2)[labels] * 3
    logits[:4] = logits[:4].flip(1)  # a quarter is wrong, and too sure
    validation = validation_of(1.0, 0.75, logits=logits.numpy())
    calibration = tiny_validator().calibrate(validation)
    # a margin of 3 / T is to give 3 right for 1 wrong
    assert calibration.temperature == pytest.approx(3 / np.log(3), rel=1e-3)
    assert calibration.threshold == 0.5
    with_positive = tiny_validator(positive=1, rule="recall@1").calibrate(validation)
    # all positives are found only if the ones that are wrong are, too
    missed = torch.softmax(logits[labels == 1] / with_positive.temperature, 1)[:, 1].min().item()
    assert with_positive.threshold == pytest.approx(missed)
    assert missed < 0.5


def test_classes_are_measured_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    validator = tiny_validator()
    labels = validator.batches.labels
    answers = torch.eye(3)[torch.where(labels == 1, 2, 0)]  # all of 0 are right, those of 1 are taken for a third class
    monkeypatch.setattr("maskcls.training.validation.predict_tensors", lambda *_: answers.numpy())
    found, ones = validator.validate(tiny_state()), int(labels.sum())
    assert 0 < ones < 16
    assert (found.accuracy, found.balanced_accuracy) == (1 - ones / 16, 0.5)
    assert found.never_predicted == {1: ones}
    assert found.largest_share == max(ones, 16 - ones) / 16
