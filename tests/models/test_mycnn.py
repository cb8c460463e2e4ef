"""MyCNN against the study's network, layer by layer."""

import pytest
import torch
from torch import nn

from maskcls.models.mycnn import MyCNN


@pytest.mark.parametrize(("size", "features"), [(32, 512), (8, 32), (64, 2048)])
@pytest.mark.parametrize("classes", [2, 5])
def test_it_is_the_studys_at_32_pixels_and_grows_with_the_input(size: int, features: int, classes: int) -> None:
    model = MyCNN(classes, size, dropout=0.5)
    convolutions = (3 * 9 + 1) * 32 + 2 * (32 * 9 + 1) * 32
    assert sum(p.numel() for p in model.parameters()) == convolutions + (features + 1) * classes
    assert model(torch.zeros(5, 3, size, size)).shape == (5, classes)


def test_it_drops_inputs_of_its_linear_layer_in_training_only() -> None:
    torch.manual_seed(0)
    model = MyCNN(classes=2, input_size=32, dropout=0.5)
    images = torch.rand(4, 3, 32, 32)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))
    assert model.dropout.p == 0.5


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_it_gives_the_outputs_and_gradients_of_the_studys_order_of_layers(
    memory_format: torch.memory_format, precision: torch.dtype
) -> None:
    torch.manual_seed(0)
    model = MyCNN(classes=2, input_size=32, dropout=0.0)
    blocks = [
        layer
        for channels in (3, 32, 32)
        for layer in (nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    ]
    study = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(32 * 4 * 4, 2))
    with torch.no_grad():
        for parameter, other in zip(study.parameters(), model.parameters(), strict=True):
            parameter.copy_(other)
    # coarse values and a flat part: many poolings find their maximum twice, and others find only zeros
    images = torch.randint(-2, 3, (8, 3, 32, 32)).float()
    images[:, :, :8] = 0
    results = []
    for network in (model, study):
        network.to(memory_format=memory_format)
        inputs = images.clone(memory_format=memory_format).requires_grad_()
        with torch.autocast("cpu", precision, enabled=precision is not torch.float32):
            logits = network(inputs)
        nn.functional.cross_entropy(logits.float(), torch.arange(8) % 2).backward()
        results.append([logits, inputs.grad, *(parameter.grad for parameter in network.parameters())])
    assert len(results[0]) == 2 + 8
    for ours, theirs in zip(*results, strict=True):
        assert theirs.abs().max() > 0
        assert torch.equal(ours, theirs)


def test_it_leaves_its_input_as_it_is() -> None:
    images = torch.randn(2, 3, 16, 16)
    before = images.clone()
    MyCNN(classes=2, input_size=16, dropout=0.5)(images)
    assert torch.equal(images, before)
