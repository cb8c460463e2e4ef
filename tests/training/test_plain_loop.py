"""maskcls trains exactly as a plain PyTorch loop does, which is written here and uses no code of maskcls."""

import numpy as np
import pytest
import torch
import torchvision
from configuration import config_of
from torch import nn

from maskcls.data.loaders import LabelledImages, Loader
from maskcls.data.statistics import Normalization
from maskcls.models.normalize import Normalize
from maskcls.models.precision import Precision
from maskcls.training.build import build_state
from maskcls.training.loop import step

STEPS = {"resnet18": 20, "vgg16": 4, "mycnn": 20}  # VGG-16 takes a second each
BATCH = 4
SIZES = {"resnet18": 32, "vgg16": 32, "mycnn": 32}
MEAN = (0.5685, 0.4648, 0.4162)
STD = (0.2430, 0.2229, 0.2187)


def plain_model(name: str) -> nn.Module:
    if name == "mycnn":
        blocks = [
            layer
            for channels in (3, 32, 32)
            for layer in (nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        ]
        return nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(0.0), nn.Linear(32 * 4 * 4, 2))
    if name == "vgg16":
        vgg16: nn.Module = torchvision.models.vgg16(num_classes=2, dropout=0.0)
        return vgg16
    resnet18: nn.Module = torchvision.models.resnet18(num_classes=2)
    return resnet18


def plain_losses(
    name: str, optimizer_name: str, weights: list[torch.Tensor], images: np.ndarray, labels: np.ndarray, seed: int
) -> list[float]:
    model = plain_model(name)
    with torch.no_grad():
        for parameter, weight in zip(model.parameters(), weights, strict=True):
            parameter.copy_(weight)
    model = model.to(memory_format=torch.channels_last)
    optimizer: torch.optim.Optimizer
    if optimizer_name == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, fused=True)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed)).numpy()
    losses = []
    for number in range(STEPS[name]):
        chosen = order[number * BATCH : (number + 1) * BATCH]
        pixels = torch.tensor(images[chosen], dtype=torch.float32).permute(0, 3, 1, 2) / 255
        inputs = (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
        loss = nn.functional.cross_entropy(
            model(inputs.contiguous(memory_format=torch.channels_last)), torch.tensor(labels[chosen])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["mycnn", "resnet18", "vgg16"])
def test_losses_agree_with_a_plain_loop(name: str, optimizer: str) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, STEPS[name] * BATCH)
    images = rng.integers(0, 256, (len(labels), SIZES[name], SIZES[name], 3), dtype=np.uint8)
    images[labels == 1, :16] //= 2
    dropout = [] if name == "resnet18" else ["model.dropout=0"]
    config = config_of(
        "train", f"model={name}", f"optim={optimizer}", "optim.lr=1e-4", "data=synthetic",
        f"data.input_size={SIZES[name]}", f"data.batch_size={BATCH}", "device=cpu", "precision=float32", *dropout,
    )  # fmt: skip
    torch.manual_seed(0)
    device = torch.device("cpu")
    normalize = Normalize(Normalization(MEAN, STD))
    state = build_state(config, 2, normalize, Precision("float32", "cpu"), torch.Generator(), STEPS[name])
    state.model.train()
    weights = [parameter.detach().clone() for parameter in state.model.parameters()]
    order = torch.Generator().manual_seed(7)
    batches = Loader(LabelledImages(images, labels.tolist()), BATCH, device, shuffle=order)
    losses = [step(state, *batch).loss.item() for batch in batches]
    del state
    expected = plain_losses(name, optimizer, weights, images, labels, seed=7)

    assert len(losses) == STEPS[name]
    assert losses[0] == pytest.approx(expected[0], rel=1e-6)
    assert losses == pytest.approx(expected, rel=1e-4)
    assert losses[0] != losses[-1]
