"""What auto means, for each kind of hardware."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from maskcls.config.types import PrecisionName
from maskcls.errors import UserError
from maskcls.models.device import choose_device
from maskcls.models.precision import (
    DTYPES,
    Hardware,
    Precision,
    choose_precision,
    hardware_for,
    precision_of_training,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_named_precision_is_taken(name: PrecisionName) -> None:
    assert choose_precision(name, CPU) == (Precision(name, "cpu"), "as configured")


@pytest.mark.parametrize("name", ["fp16", "int8", ""])
def test_a_precision_that_there_is_not_is_refused(name: Any) -> None:
    with pytest.raises(UserError, match=rf"^precision={name}: expected auto, float32, tf32, bfloat16, float16"):
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
    assert enabled == {"float32": False, "tf32": False, "bfloat16": False, "float16": True}


def float32_settings() -> tuple[str, str, str]:
    """How torch multiplies float32 values on GPUs: in matrix products, in convolutions, and what compiling asks."""
    conv = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    return torch.backends.cuda.matmul.fp32_precision, conv.fp32_precision, torch.backends.cudnn.fp32_precision


@pytest.fixture
def default_settings() -> Iterator[tuple[str, str, str]]:
    """The settings that torch starts with, which convolve in TF32."""
    before = float32_settings()
    assert before[1] == "tf32"
    yield before
    assert float32_settings() == before


@pytest.mark.parametrize(
    ("name", "expected"), [("float32", "ieee"), ("tf32", "tf32"), ("bfloat16", "ieee"), ("float16", "ieee")]
)
def test_float32_values_are_multiplied_in_float32_unless_tf32_is_named(
    name: PrecisionName, expected: str, default_settings: tuple[str, str, str]
) -> None:
    with warnings.catch_warnings(action="error"):
        with Precision(name, "cuda").products():
            assert float32_settings() == (expected,) * 3
        assert float32_settings() == default_settings


def test_settings_are_put_back_after_an_error(default_settings: tuple[str, str, str]) -> None:
    with pytest.raises(KeyError), Precision("float32", "cuda").products():
        raise KeyError
    assert float32_settings() == default_settings


def test_forward_passes_set_how_float32_is_multiplied(default_settings: tuple[str, str, str]) -> None:
    with Precision("float32", "cuda").autocast():
        assert float32_settings() == ("ieee",) * 3


@pytest.mark.parametrize(("device_type", "hip"), [("cpu", None), ("mps", None), ("cuda", "7.0")])
def test_other_hardware_has_no_such_settings(
    device_type: str, hip: str | None, default_settings: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.version.hip", hip)
    with Precision("float32", device_type).products():
        assert float32_settings() == default_settings


@pytest.mark.parametrize("name", ["float32", "tf32"])
def test_networks_can_be_compiled_with_either_setting(name: PrecisionName) -> None:
    model = torch.nn.Linear(3, 2)
    compiled = torch.compile(model, backend="eager")
    values = torch.rand(4, 3)
    with Precision(name, "cuda").products():
        assert torch.equal(compiled(values), model(values))


@pytest.mark.parametrize("capability", [(8, 0), (12, 0)])
def test_tf32_is_taken_where_the_gpu_has_it(capability: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    assert choose_precision("tf32", CUDA) == (Precision("tf32", "cuda"), "as configured")


@pytest.mark.parametrize(
    ("device", "capability", "hip", "lack"),
    [
        ("cpu", None, None, "cpu has no TF32, which GPUs of NVIDIA have from capability 8.0 on"),
        ("mps", None, None, "mps has no TF32, which GPUs of NVIDIA have from capability 8.0 on"),
        ("cuda:0", (7, 5), None, "this GPU has no tf32 tensor cores"),
        ("cuda:0", (9, 4), "7.0", "this GPU has no tf32 tensor cores"),
    ],
)
def test_tf32_is_refused_where_there_is_none(
    device: str,
    capability: tuple[int, int] | None,
    hip: str | None,
    lack: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    monkeypatch.setattr("torch.version.hip", hip)
    with pytest.raises(UserError) as caught:
        choose_precision("tf32", torch.device(device))
    assert str(caught.value) == f"precision=tf32: {lack}; precision=float32 computes on every device"


@pytest.mark.parametrize(
    ("name", "device", "answer", "words"),
    [
        ("float32", "mps", True, "every device has float32"),
        ("bfloat16", "cpu", False, "this CPU has no AMX or AVX-512 bfloat16"),
        ("float16", "cpu", True, "this CPU has avx512_fp16"),
        ("bfloat16", "cuda:1", False, "this GPU has no bfloat16 tensor cores"),
        ("float16", "cuda:1", True, "this GPU has float16 tensor cores"),
        ("tf32", "cuda:1", False, "this GPU has no tf32 tensor cores"),
        ("float16", "mps", True, "this GPU has float16"),
        ("bfloat16", "mps", False, "PyTorch does not tell whether this GPU has bfloat16"),
    ],
)
def test_hardware_is_asked_for_each_format(
    name: PrecisionName, device: str, words: str, monkeypatch: pytest.MonkeyPatch, *, answer: bool
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_fp16": True})
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (7, 5))
    assert hardware_for(name, torch.device(device)) == Hardware(answer, words)


@pytest.mark.parametrize(
    ("features", "expected", "lack"),
    [
        ({"avx512_bf16": True}, "bfloat16", None),
        ({"avx2": True}, "float32", "this CPU has no AMX or AVX-512 bfloat16"),
    ],
)
def test_a_network_computes_as_it_was_trained_unless_that_is_emulated(
    features: dict[str, bool], expected: PrecisionName, lack: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: features)
    assert precision_of_training("bfloat16", CPU) == (Precision(expected, "cpu"), lack)
    assert choose_precision("bfloat16", CPU) == (Precision("bfloat16", "cpu"), "as configured")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_autocast_on_the_gpu() -> None:
    precision, _ = choose_precision("auto", choose_device("auto"))
    with precision.autocast():
        product = torch.ones(8, 8, device="cuda") @ torch.ones(8, 8, device="cuda")
    assert product.dtype == getattr(torch, precision.name)
