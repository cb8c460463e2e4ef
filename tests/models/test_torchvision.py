"""torchvision's networks with another last layer, and where their pretrained weights come from."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn

from maskcls.errors import UserError
from maskcls.models.torchvision import build_torchvision


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "parameters_without", "features"),
    [
        ("resnet18", 11_176_512, 512),
        ("vgg16", 134_260_544, 4096),
        ("vgg16_bn", 134_268_992, 4096),
        ("mobilenet_v3_small", 1_517_856, 1024),
        ("efficientnet_b0", 4_007_548, 1280),
    ],
)
@pytest.mark.parametrize("classes", [2, 7])
def test_networks_are_torchvisions_with_as_many_outputs_as_classes(
    name: str, parameters_without: int, features: int, classes: int
) -> None:
    with torch.device("meta"):
        model = build_torchvision(name, classes, pretrained=False)
        own = torchvision.models.get_model(name, num_classes=classes)
        assert model.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, classes)
    assert parameters(model) == parameters_without + (features + 1) * classes
    assert [(key, value.shape) for key, value in model.state_dict().items()] == [
        (key, value.shape) for key, value in own.state_dict().items()
    ]


@pytest.mark.parametrize("name", ["vgg16", "vgg16_bn", "mobilenet_v3_small", "efficientnet_b0"])
def test_dropout_is_as_configured(name: str) -> None:
    with torch.device("meta"):
        model = build_torchvision(name, 2, pretrained=False, dropout=0.125)
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} == {0.125}


@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn", "mobilenet_v3_small", "efficientnet_b0"])
def test_running_statistics_follow_within_a_few_steps(name: str) -> None:
    with torch.device("meta"):
        model = build_torchvision(name, 2, pretrained=False)
    assert {module.momentum for module in model.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}


@pytest.fixture
def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which torch looks for downloaded weights before it downloads them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_pretrained_weights_are_torchvisions_except_for_the_last_layer(weights_folder: Path) -> None:
    published = torchvision.models.resnet18(weights=None).state_dict()
    name = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    torch.save(published, weights_folder / name)
    state = build_torchvision("resnet18", 2, pretrained=True).state_dict()
    assert state["fc.weight"].shape == (2, 512)
    for key, value in published.items():
        assert key.startswith("fc.") or torch.equal(state[key], value)


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "mobilenet_v3_small", "efficientnet_b0"])
@pytest.mark.parametrize("error", [URLError("no route to host"), ConnectionResetError("no route to host")])
def test_pretrained_weights_that_cannot_be_had_are_explained(
    name: str, error: Exception, weights_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    expected = (
        r"^model\.pretrained=true: cannot get the weights from https://\S+\.pth \(.*no route to host.*\); "
        r"put that file into \$TORCH_HOME/hub/checkpoints, or set model\.pretrained=false$"
    )
    with torch.device("meta"), pytest.raises(UserError, match=expected):
        build_torchvision(name, 2, pretrained=True)


@pytest.mark.parametrize("content", [b"", b"<html>sign in to this network</html>", b"PK\x03\x04" + bytes(100), None])
def test_a_download_that_is_damaged_is_explained(content: bytes | None, weights_folder: Path) -> None:
    path = weights_folder / torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    if content is None:
        torch.save({"conv1.weight": torch.zeros(1)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"^model\.pretrained=true: cannot get the weights from https://") as caught:
        build_torchvision("resnet18", 2, pretrained=True)
    assert "\n" not in str(caught.value)


def test_an_error_without_pretrained_weights_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("can't allocate memory")

    monkeypatch.setattr("torchvision.models.get_model", fail)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        build_torchvision("resnet18", 2, pretrained=False)
