"""The networks: sizes, shapes, and where pretrained weights come from."""

from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn

from maskcls.errors import UserError
from maskcls.models import build_model

RESNET18 = {"name": "resnet18", "pretrained": False}
MYCNN = {"name": "mycnn", "dropout": 0.5}
VGG16 = {"name": "vgg16", "pretrained": False, "dropout": 0.5}


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_resnet18_is_torchvisions_with_two_outputs() -> None:
    model = build_model(RESNET18, classes=2, input_size=64)
    assert parameters(model) == 11_177_538
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 2)


def test_vgg16_is_torchvisions_with_as_many_outputs_as_classes() -> None:
    with torch.device("meta"):
        model = build_model(VGG16, classes=3, input_size=32)
    assert parameters(model) == 134_272_835
    assert [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize(("size", "features"), [(32, 512), (8, 32), (64, 2048)])
def test_mycnn_is_the_studys_at_32_pixels_and_grows_with_the_input(size: int, features: int) -> None:
    model = build_model(MYCNN, classes=2, input_size=size)
    convolutions = (3 * 9 + 1) * 32 + 2 * (32 * 9 + 1) * 32
    assert parameters(model) == convolutions + features * 2 + 2
    assert model(torch.zeros(5, 3, size, size)).shape == (5, 2)


def test_mycnn_drops_inputs_of_its_linear_layer_in_training_only() -> None:
    torch.manual_seed(0)
    model = build_model(MYCNN, classes=2, input_size=32)
    images = torch.rand(4, 3, 32, 32)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_mycnn_gives_the_outputs_and_gradients_of_the_studys_order_of_layers(
    memory_format: torch.memory_format, precision: torch.dtype
) -> None:
    torch.manual_seed(0)
    model = build_model({"name": "mycnn", "dropout": 0.0}, classes=2, input_size=32)
    blocks = [
        layer
        for channels in (3, 32, 32)
        for layer in (nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    ]
    study = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(32 * 4 * 4, 2))
    with torch.no_grad():
        for parameter, other in zip(study.parameters(), model.parameters(), strict=True):
            parameter.copy_(other)
    # coarse values and a flat part, so that many a pooling finds its maximum twice, and others find zeros alone
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


def test_mycnn_leaves_its_input_as_it_is() -> None:
    images = torch.randn(2, 3, 16, 16)
    before = images.clone()
    build_model(MYCNN, classes=2, input_size=16)(images)
    assert torch.equal(images, before)


def test_a_name_that_is_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no model named 'os\.system'"):
        build_model({"name": "os.system"}, 2, 32)


def test_pretrained_weights_are_torchvisions_except_for_the_last_layer(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = torchvision.models.resnet18(weights=None).state_dict()
    name = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(published, tmp_path / "hub" / "checkpoints" / name)
    state = build_model({**RESNET18, "pretrained": True}, 2, 64).state_dict()
    assert torch.equal(state["layer4.1.conv2.weight"], published["layer4.1.conv2.weight"])
    assert state["fc.weight"].shape == (2, 512)


def test_pretrained_weights_that_cannot_be_had_are_explained(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refuse(*args: object, **kwargs: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    with pytest.raises(
        UserError, match=r"model.pretrained=true: cannot get the weights from https://.*no route to host"
    ):
        build_model({**RESNET18, "pretrained": True}, 2, 64)
