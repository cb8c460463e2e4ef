"""The network with what stands before and after it."""

import numpy as np
import torch
from checkpoints import SIZE, inference_checkpoint, ready
from exported import traced

from maskcls.export.graph import example_images
from maskcls.models.calibration import Calibration, answers_of


def test_it_gives_the_logits_and_the_calibrated_probabilities_of_the_network() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    with torch.inference_mode():
        probabilities, logits = traced(inference_checkpoint())(torch.from_numpy(images))
    expected = ready(inference_checkpoint()).network.logits(images)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    answers = answers_of(expected, Calibration(inference_checkpoint().document.temperature), None)
    np.testing.assert_allclose(probabilities, answers.probabilities, atol=1e-5)


def test_the_network_that_is_exported_is_a_copy() -> None:
    trained = ready(inference_checkpoint())
    before = {name: value.clone() for name, value in trained.network.forward.model.state_dict().items()}  # type: ignore[attr-defined]
    exported = traced(inference_checkpoint())
    with torch.no_grad():
        for value in exported.parameters():
            value.zero_()
    after = trained.network.forward.model.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(value.is_contiguous() for value in exported.parameters())


def test_it_is_traced_with_more_than_one_image() -> None:
    assert (example_images(8).shape, example_images(8).dtype) == ((2, 8, 8, 3), torch.uint8)
