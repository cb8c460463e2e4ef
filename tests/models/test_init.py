"""From a model's configuration to its network."""

import dataclasses

import pytest
import torch
import torchvision
from torch import nn

from maskcls.config import ModelConfig, MyCNNConfig, ResNet18Config, TorchvisionConfig
from maskcls.models import build_model
from maskcls.models.mycnn import MyCNN

RESNET18 = ResNet18Config(name="resnet18", default_input_size=224, pretrained=True)
VGG16 = TorchvisionConfig(name="vgg16", default_input_size=224, pretrained=True, dropout=0.125)
MOBILENET = dataclasses.replace(VGG16, name="mobilenet_v3_small")
EFFICIENTNET = dataclasses.replace(VGG16, name="efficientnet_b0")
MYCNN = MyCNNConfig(name="mycnn", default_input_size=32, dropout=0.125)


@pytest.mark.parametrize(
    ("config", "kind", "dropouts"),
    [
        (RESNET18, torchvision.models.ResNet, 0),
        (VGG16, torchvision.models.VGG, 2),
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


@pytest.mark.parametrize("config", [RESNET18, VGG16, MOBILENET, EFFICIENTNET], ids=lambda config: config.name)
@pytest.mark.parametrize(("wanted", "configured", "fetched"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_weights_are_fetched_if_both_the_caller_and_the_configuration_say_so(
    config: ResNet18Config | TorchvisionConfig,
    fetched: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    wanted: bool,
    configured: bool,
) -> None:
    calls = []

    def fetch(self: object, *_: object, **__: object) -> dict[str, torch.Tensor]:
        calls.append(self)
        with torch.device("meta"):
            return getattr(torchvision.models, config.name)(weights=None).state_dict()

    monkeypatch.setattr("torchvision.models.WeightsEnum.get_state_dict", fetch)
    with torch.device("meta"):
        build_model(dataclasses.replace(config, pretrained=configured), 2, 64, pretrained=wanted)
    assert len(calls) == fetched
