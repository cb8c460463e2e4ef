"""The matrix product gives the gradients of torch's own convolution."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from maskcls.config import ResNet18Config
from maskcls.models.architecture import build_model
from maskcls.training import convolution
from maskcls.training.convolution import SmallMapConvolution, use_matrix_products


def pair(*arguments: int, **options: int | bool | tuple[int, int]) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Torch's convolution, and one of ours with the same weights."""
    torch.manual_seed(0)
    plain = nn.Conv2d(*arguments, **options).to(memory_format=torch.channels_last)  # type: ignore[arg-type]
    own = copy.deepcopy(plain)
    use_matrix_products(own)
    assert type(own) is SmallMapConvolution
    return plain, own


def gradients(layer: nn.Conv2d, images: torch.Tensor, dtype: torch.dtype) -> list[torch.Tensor]:
    images = images.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        output = layer(images)
    assert output.dtype == dtype
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)
    (output.float() * weights).sum().backward()
    found = [output, images.grad, layer.weight.grad, *([] if layer.bias is None else [layer.bias.grad])]
    return [value.detach() for value in found if value is not None]


SHAPES = [
    ((8, 16, 3), {"padding": 1, "bias": False}, (2, 2)),
    ((8, 16, 3), {"padding": 1, "stride": 2}, (5, 6)),
    ((8, 16, 1), {"stride": 2, "bias": False}, (3, 3)),
    ((4, 6, (3, 1)), {"padding": (1, 0), "stride": (2, 1)}, (5, 3)),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("arguments", "options", "size"), SHAPES)
def test_output_and_gradients_are_those_of_torch(
    arguments: tuple[int, ...],
    options: dict[str, int | bool | tuple[int, int]],
    size: tuple[int, int],
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[torch.Tensor] = []
    weight_gradient = convolution.weight_gradient

    def noted(gradient: torch.Tensor, *arguments: Any) -> torch.Tensor:
        calls.append(gradient)
        return weight_gradient(gradient, *arguments)

    monkeypatch.setattr(convolution, "weight_gradient", noted)
    plain, own = pair(*arguments, **options)
    images = torch.rand(7, arguments[0], *size).to(memory_format=torch.channels_last)
    for expected, found in zip(gradients(plain, images, dtype), gradients(own, images, dtype), strict=True):
        scale = float(expected.float().abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=scale * (1e-5 if dtype == torch.float32 else 0.01))
    assert len(calls) == 1
    assert own.weight.grad is not None
    assert own.weight.grad.stride() == own.weight.stride()  # fused optimizers walk both as one


@pytest.mark.parametrize("size", [3, 4])
def test_large_outputs_stay_as_they_are(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "weight_gradient", lambda *_: pytest.fail("a matrix product"))
    _, own = pair(4, 4, 3, padding=1)
    with pytest.raises(pytest.fail.Exception) if size == 3 else torch.enable_grad():
        own(torch.rand(2, 4, size, size)).sum().backward()


def test_without_gradients_it_is_torchs_own() -> None:
    plain, own = pair(4, 4, 3, padding=1)
    images = torch.rand(2, 4, 2, 2)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(own(images), plain(images))


def test_only_plain_convolutions_are_changed() -> None:
    model = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Conv1d(4, 4, 3), nn.Conv2d(4, 4, 3),
    )  # fmt: skip
    names = list(model.state_dict())
    use_matrix_products(model)
    assert [type(layer) is SmallMapConvolution for layer in model] == [False] * 5 + [True]
    assert list(model.state_dict()) == names


def test_a_network_keeps_its_weights_and_their_names() -> None:
    model = build_model(ResNet18Config("resnet18", default_input_size=224, pretrained=False), 2, 48, pretrained=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    use_matrix_products(model)
    after = copy.deepcopy(model).state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in after.items())
