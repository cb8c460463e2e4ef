"""What auto means, for each kind of hardware."""

import pytest
import torch

from maskcls.errors import UserError
from maskcls.models.precision import Precision, choose_device, choose_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_named_precision_is_taken(name: str) -> None:
    assert choose_precision(name, CPU) == (Precision(name, "cpu"), "as configured")


@pytest.mark.parametrize(
    ("features", "expected", "reason"),
    [
        ({"amx_bf16": True}, "bfloat16", "amx_bf16"),
        ({"avx512_bf16": True, "amx_bf16": False}, "bfloat16", "avx512_bf16"),
        ({"avx2": True}, "float32", "no AMX or AVX-512 bfloat16"),
    ],
)
def test_auto_on_a_cpu_follows_its_instructions(features, expected, reason, monkeypatch) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: features)
    precision, why = choose_precision("auto", CPU)
    assert precision == Precision(expected, "cpu")
    assert reason in why


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 5), "float16"), ((6, 1), "float32")]
)
def test_auto_on_a_gpu_follows_its_tensor_cores(capability, expected, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    assert choose_precision("auto", CUDA)[0] == Precision(expected, "cuda")


def test_only_float16_scales_its_loss() -> None:
    enabled = {name: Precision(name, "cpu").grad_scaler().is_enabled() for name in ("float32", "bfloat16", "float16")}
    assert enabled == {"float32": False, "bfloat16": False, "float16": True}


@pytest.mark.parametrize(
    ("gpus", "name", "expected"),
    [(0, "auto", "cpu"), (2, "auto", "cuda:0"), (2, "cuda", "cuda:0"), (2, "cuda:1", "cuda:1"), (2, "cpu", "cpu")],
)
def test_devices(gpus: int, name: str, expected: str, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert choose_device(name) == torch.device(expected)


def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(UserError, match="device=cuda:3: not on this machine, which has cpu, cuda:0"):
        choose_device("cuda:3")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_autocast_on_the_gpu() -> None:
    precision, _ = choose_precision("auto", choose_device("auto"))
    with precision.autocast():
        product = torch.ones(8, 8, device="cuda") @ torch.ones(8, 8, device="cuda")
    assert product.dtype == getattr(torch, precision.name)
