"""Comparing an exported network with its checkpoint."""

import numpy as np
import pytest
from checkpoints import SIZE, inference_checkpoint, ready

from maskcls.errors import MachineError
from maskcls.export.parity import TOLERANCE, Parity, compare
from maskcls.inference.predictor import Predictor

IMAGES = np.random.default_rng(0).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def predictor() -> Predictor:
    """A network of random weights, three images at a time."""
    return Predictor.of(ready(inference_checkpoint()), 3)


def test_the_same_network_differs_in_nothing(predictor: Predictor) -> None:
    parity = compare(predictor, lambda images: predictor.answer([images]).probabilities, IMAGES)
    assert parity == Parity(7, 0.0)
    parity.require("model.onnx")


def test_the_largest_difference_counts_whichever_batch_it_is_in(predictor: Predictor) -> None:
    for position in (0, 3, 6):
        expected = predictor.answer([IMAGES]).probabilities
        expected[position, 1] += 0.25
        answers = iter(np.split(expected, [3, 6]))
        parity = compare(predictor, lambda _, answers=answers: next(answers), IMAGES)  # type: ignore[misc]
        assert parity.difference == pytest.approx(0.25, abs=1e-5)


@pytest.mark.parametrize("difference", [1.1 * TOLERANCE, 0.5, float("nan"), float("inf")])
def test_answers_that_differ_are_refused(difference: float) -> None:
    with pytest.raises(MachineError, match=r"^model\.onnx: a probability differs from the checkpoint's by .*; nothing"):
        Parity(3, difference).require("model.onnx")


def test_rounding_is_allowed() -> None:
    Parity(3, TOLERANCE).require("model.onnx")
