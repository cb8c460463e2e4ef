"""What auto means, for each kind of hardware."""

from typing import Any

import pytest
import torch

from maskcls.config.types import PrecisionName
from maskcls.errors import UserError
from maskcls.models.precision import DTYPES, Precision, choose_device, choose_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_named_precision_is_taken(name: PrecisionName) -> None:
    assert choose_precision(name, CPU) == (Precision(name, "cpu"), "as configured")


@pytest.mark.parametrize("name", ["fp16", "int8", ""])
def test_a_precision_that_there_is_not_is_refused(name: Any) -> None:
    with pytest.raises(UserError, match=rf"^precision={name}: expected auto, float32, bfloat16, float16"):
        choose_precision(name, CPU)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_forward_passes_compute_in_the_precision(name: PrecisionName) -> None:
    matrix = torch.ones(4, 4)
    with Precision(name, "cpu").autocast():
        assert (matrix @ matrix).dtype == DTYPES[name]
        assert torch.log_softmax(matrix, dim=1).dtype == torch.float32
    assert (matrix @ matrix).dtype == torch.float32


@pytest.mark.parametrize(
    ("features", "expected", "reason"),
    [
        ({"amx_bf16": True}, "bfloat16", "amx_bf16"),
        ({"avx512_bf16": True, "amx_bf16": False}, "bfloat16", "avx512_bf16"),
        ({"avx2": True}, "float32", "no AMX or AVX-512 bfloat16"),
    ],
)
def test_auto_on_a_cpu_follows_its_instructions(
    features: dict[str, bool], expected: PrecisionName, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: features)
    precision, why = choose_precision("auto", CPU)
    assert precision == Precision(expected, "cpu")
    assert reason in why


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 5), "float16"), ((6, 1), "float32")]
)
def test_auto_on_a_gpu_follows_its_tensor_cores(
    capability: tuple[int, int], expected: PrecisionName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    precision, reason = choose_precision("auto", CUDA)
    assert precision == Precision(expected, "cuda")
    assert reason.startswith("auto: this GPU has ")


def test_auto_on_another_device_is_float32() -> None:
    assert choose_precision("auto", torch.device("mps")) == (Precision("float32", "mps"), "auto: float32 on mps")


def test_only_float16_scales_its_loss() -> None:
    enabled = {name: Precision(name, "cpu").grad_scaler().is_enabled() for name in DTYPES}
    assert enabled == {"float32": False, "bfloat16": False, "float16": True}


@pytest.mark.parametrize(
    ("gpus", "has_mps", "name", "expected"),
    [
        (0, False, "auto", "cpu"),
        (2, False, "auto", "cuda:0"),
        (2, False, "cuda", "cuda:0"),
        (2, False, "cuda:1", "cuda:1"),
        (2, False, "cpu", "cpu"),
        (0, True, "auto", "mps"),
        (0, True, "mps", "mps"),
    ],
)
def test_devices(gpus: int, name: str, expected: str, monkeypatch: pytest.MonkeyPatch, *, has_mps: bool) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: has_mps)
    assert choose_device(name) == torch.device(expected)


@pytest.mark.parametrize("name", ["cuda:3", "mps"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(UserError) as caught:
        choose_device(name)
    assert str(caught.value) == (
        f"device={name}: not on this machine, which has cpu, cuda:0; device=auto takes the best"
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_autocast_on_the_gpu() -> None:
    precision, _ = choose_precision("auto", choose_device("auto"))
    with precision.autocast():
        product = torch.ones(8, 8, device="cuda") @ torch.ones(8, 8, device="cuda")
    assert product.dtype == getattr(torch, precision.name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gpu", "; cuda is a GPU of NVIDIA or AMD, mps one of Apple"),
        ("cude", "; did you mean 'cuda'?"),
        ("cuda:x", "; did you mean 'cuda'?"),
    ],
)
def test_a_device_that_there_is_not_is_refused(name: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        choose_device(name)
    assert str(caught.value) == f"device={name}: expected auto, cpu, cuda, cuda:N or mps{hint}"
