"""A network that is restored from a checkpoint, and what it computes."""

import numpy as np
import pytest
import torch
from checkpoints import MODEL, SIZE, inference_checkpoint, training_checkpoint, weights
from torch import Tensor, nn

from maskcls.data.statistics import Normalization
from maskcls.models import build_model
from maskcls.models.network import TorchNetwork, predict_logits, restore_network
from maskcls.models.normalize import Normalize
from maskcls.models.precision import Precision, PrecisionName

CPU = torch.device("cpu")
FLOAT32 = Precision("float32", "cpu")


def images(count: int, seed: int = 0) -> Tensor:
    """Noise, uint8 [count, 3, 16, 16]."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, SIZE, SIZE), dtype=np.uint8)
    return torch.from_numpy(pixels)


class Means(nn.Module):
    """Returns the mean and the maximum of each image, and what type it computed in."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map float32 [batch, 3, height, width] to [batch, 2], in the type of a matrix product."""
        assert inputs.dtype == torch.float32
        flat = inputs.flatten(1)
        return torch.stack((flat.mean(dim=1), flat.amax(dim=1)), dim=1) @ torch.eye(2)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_logits_are_those_of_normalized_images_and_float32(precision: PrecisionName) -> None:
    normalize = Normalize(Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)))
    network = TorchNetwork(Means(), normalize, Precision(precision, "cpu"), CPU)
    batch = torch.stack((torch.zeros(3, 4, 4), torch.full((3, 4, 4), 255.0))).to(torch.uint8)
    logits = network.logits(batch)
    assert logits.dtype == torch.float32
    assert logits.tolist() == [[-2.0, -2.0], [2.0, 2.0]]
    third = network.logits(torch.full((1, 3, 4, 4), 170, dtype=torch.uint8))[0, 0].item()
    assert third == pytest.approx(2 / 3, abs=1e-6 if precision == "float32" else 4e-3)
    assert (abs(third - 2 / 3) > 1e-6) == (precision == "bfloat16")


def test_batches_give_the_logits_of_all_images_in_order() -> None:
    network = restore_network(inference_checkpoint(), FLOAT32, CPU)
    whole = images(10)
    logits = predict_logits(network, iter(whole.split(4)))
    assert (logits.shape, logits.dtype, logits.device) == ((10, 2), torch.float32, CPU)
    assert not logits.requires_grad
    torch.testing.assert_close(logits, predict_logits(network, [whole]), rtol=1e-5, atol=1e-6)
    assert logits.unique(dim=0).shape == (10, 2)


def test_a_restored_network_computes_what_its_checkpoint_was_trained_to() -> None:
    checkpoint = inference_checkpoint(seed=3)
    network = restore_network(checkpoint, FLOAT32, CPU)
    model = build_model(MODEL, 2, SIZE, pretrained=False)
    model.load_state_dict(weights(seed=3))
    normalization = checkpoint.document.normalization
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (normalization.mean, normalization.std))
    with torch.inference_mode():
        expected = model.eval()((images(5) / 255 - mean) / std)
        torch.testing.assert_close(network.logits(images(5)), expected, rtol=1e-5, atol=1e-6)


def test_a_restored_network_does_not_drop_anything() -> None:
    network = restore_network(inference_checkpoint(), FLOAT32, CPU)
    assert not network.model.training
    assert torch.equal(network.logits(images(3)), network.logits(images(3)))


def test_a_restored_network_has_the_average_of_the_weights_if_there_is_one() -> None:
    network = restore_network(training_checkpoint(), FLOAT32, CPU)
    assert network.model.state_dict().keys() == weights().keys()
    for name, value in network.model.state_dict().items():
        assert torch.equal(value, weights(seed=1)[name])


def test_a_restored_network_is_channels_last_and_where_it_is_asked_to_be() -> None:
    network = restore_network(inference_checkpoint(), FLOAT32, CPU)
    assert network.device == CPU
    convolution = network.model.get_submodule("features.3")
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    assert {value.device for value in network.model.state_dict().values()} == {CPU}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_on_a_gpu_gives_the_logits_of_the_cpu() -> None:
    device = torch.device("cuda:0")
    network = restore_network(inference_checkpoint(), Precision("float32", "cuda"), device)
    found = predict_logits(network, [images(6).to(device)])
    expected = predict_logits(restore_network(inference_checkpoint(), FLOAT32, CPU), [images(6)])
    assert found.device == CPU
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)
