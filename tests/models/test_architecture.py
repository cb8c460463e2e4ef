"""From a model's configuration to its network."""

import dataclasses
from itertools import pairwise

import pytest
import torch
import torchvision
from torch import nn

from maskcls.config import ModelConfig, MyCNNConfig, ResNet18Config, TorchvisionConfig, VGG16Config
from maskcls.models.architecture import build_model
from maskcls.models.mycnn import MyCNN

RESNET18 = ResNet18Config(name="resnet18", default_input_size=224, pretrained=True)
VGG16 = VGG16Config(name="vgg16", default_input_size=224, pretrained=True, dropout=0.125)
VGG16_NORM = dataclasses.replace(VGG16, batch_norm=True)
MOBILENET = TorchvisionConfig(name="mobilenet_v3_small", default_input_size=224, pretrained=True, dropout=0.125)
EFFICIENTNET = dataclasses.replace(MOBILENET, name="efficientnet_b0")
MYCNN = MyCNNConfig(name="mycnn", default_input_size=32, dropout=0.125)


@pytest.mark.parametrize(
    ("config", "kind", "dropouts"),
    [
        (RESNET18, torchvision.models.ResNet, 0),
        (VGG16, torchvision.models.VGG, 2),
        (VGG16_NORM, torchvision.models.VGG, 2),
        (MOBILENET, torchvision.models.MobileNetV3, 1),
        (EFFICIENTNET, torchvision.models.EfficientNet, 1),
        (MYCNN, MyCNN, 1),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_each_configuration_gives_its_network(config: ModelConfig, kind: type[nn.Module], dropouts: int) -> None:
    with torch.device("meta"):
        model = build_model(config, classes=3, input_size=64, pretrained=False)
        assert isinstance(model, kind)
        assert model(torch.empty(2, 3, 64, 64)).shape == (2, 3)
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.125] * dropouts


@pytest.mark.parametrize(
    "config", [RESNET18, VGG16, VGG16_NORM, MOBILENET, EFFICIENTNET], ids=lambda config: config.name
)
@pytest.mark.parametrize(("wanted", "configured", "fetched"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_weights_are_fetched_if_both_the_caller_and_the_configuration_say_so(
    config: ResNet18Config | VGG16Config | TorchvisionConfig,
    fetched: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    wanted: bool,
    configured: bool,
) -> None:
    calls = []
    name = "vgg16_bn" if config == VGG16_NORM else config.name

    def fetch(self: object, *_: object, **__: object) -> dict[str, torch.Tensor]:
        calls.append(self)
        with torch.device("meta"):
            return getattr(torchvision.models, name)(weights=None).state_dict()

    monkeypatch.setattr("torchvision.models.WeightsEnum.get_state_dict", fetch)
    with torch.device("meta"):
        build_model(dataclasses.replace(config, pretrained=configured), 2, 64, pretrained=wanted)
    assert len(calls) == fetched


@pytest.mark.parametrize(("config", "count"), [(VGG16, 0), (VGG16_NORM, 13)])
def test_vgg16_normalizes_after_each_convolution_if_the_configuration_says_so(config: VGG16Config, count: int) -> None:
    with torch.device("meta"):
        layers = list(build_model(config, classes=2, input_size=64, pretrained=False).modules())
    found = [isinstance(after, nn.BatchNorm2d) for layer, after in pairwise(layers) if isinstance(layer, nn.Conv2d)]
    assert (len(found), sum(found)) == (13, count)
