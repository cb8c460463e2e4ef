"""What all back ends share."""

from pathlib import Path

import numpy as np
import pytest
from checkpoints import SIZE, inference_checkpoint, ready

from maskcls.errors import UserError
from maskcls.models.network import TrainedNetwork, predict_logits


def test_batches_give_the_logits_of_all_images_in_order() -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, SIZE, SIZE, 3), dtype=np.uint8)
    network = ready(inference_checkpoint()).network
    logits = predict_logits(network, iter((images[:4], images[4:8], images[8:])))
    assert logits.shape == (10, 2)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, network.logits(images), rtol=1e-5, atol=1e-6)
    assert len(np.unique(logits, axis=0)) == 10


def test_what_is_wrong_with_the_configuration_of_the_training_is_said_with_the_file() -> None:
    one = ready(inference_checkpoint())
    trained = TrainedNetwork(Path("/models/a.onnx"), one.document, one.network, one.about)
    with pytest.raises(UserError, match=r"^ckpt=/models/a\.onnx: the checkpoint was written by another version"):
        trained.trained_with()
