"""Which device is taken, and which GPUs are passed over or refused. PyTorch's answers are made up."""

import logging
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import torch

from maskcls.errors import UserError
from maskcls.models.device import choose_device, obstacle_of, runs_code_for, use_device

# what a wheel of PyTorch for CUDA 13 has code for
WHEEL = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
OLD_DRIVER = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver.\n"
    "Alternatively, go to: https://pytorch.org"
)


class Properties(NamedTuple):
    """What torch says of a GPU."""

    major: int
    minor: int
    gcnArchName: str = ""  # noqa: N815  # torch's spelling


def with_gpus(
    monkeypatch: pytest.MonkeyPatch,
    gpus: Sequence[tuple[int, int]],
    *,
    built_for: Sequence[str] = WHEEL,
    has_mps: bool = False,
    error: Exception | None = None,
) -> None:
    """Let torch find GPUs of these compute capabilities.

    Args:
        monkeypatch: puts torch back.
        gpus: major and minor version of each.
        built_for: what this PyTorch has code for.
        has_mps: whether there is an Apple GPU.
        error: what CUDA answers when it is to start.
    """

    def init() -> None:
        warnings.warn("Found GPU0 which is too old.\n- 7.5 which supports hardware CC >=7.5,<8.0", stacklevel=1)
        if error is not None:
            raise error

    def properties(gpu: str) -> Properties:
        return Properties(*gpus[int(gpu.removeprefix("cuda:"))])

    monkeypatch.setattr("torch.cuda.device_count", lambda: len(gpus))
    monkeypatch.setattr("torch.cuda.init", init)
    monkeypatch.setattr("torch.cuda.get_device_properties", properties)
    monkeypatch.setattr("torch.cuda.get_arch_list", lambda: list(built_for))
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: has_mps)


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
    with_gpus(monkeypatch, [(8, 0)] * gpus, has_mps=has_mps)
    assert choose_device(name) == torch.device(expected)


@pytest.mark.parametrize("name", ["cuda:3", "mps"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, [(8, 0)])
    with pytest.raises(UserError) as caught:
        choose_device(name)
    assert str(caught.value) == (
        f"device={name}: not on this machine, which has cpu, cuda:0; device=auto takes the best"
    )


@pytest.mark.parametrize(
    ("gpus", "has_mps", "expected", "passed_over"),
    [
        ([(7, 0), (8, 6)], False, "cuda:1", "cuda:0: this PyTorch has no code for compute capability 7.0, "),
        ([(6, 1), (6, 1)], False, "cpu", "cuda:0, cuda:1: this PyTorch has no code for compute capability 6.1, "),
        (
            [(7, 0), (6, 1)],
            True,
            "mps",
            "cuda:0, cuda:1: this PyTorch has no code for compute capability 7.0, only for sm_75, sm_80, sm_86, sm_90, "
            "sm_100, sm_120; this PyTorch has no code for compute capability 6.1, ",
        ),
    ],
)
def test_auto_passes_over_gpus_without_code_and_says_why_in_a_line(
    gpus: list[tuple[int, int]],
    expected: str,
    passed_over: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    has_mps: bool,
) -> None:
    with_gpus(monkeypatch, gpus, has_mps=has_mps)
    assert choose_device("auto") == torch.device(expected)
    only = "only for sm_75, sm_80, sm_86, sm_90, sm_100, sm_120"
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, f"device=auto passes over {passed_over}{only}")
    ]


@pytest.mark.parametrize("error", [RuntimeError(OLD_DRIVER), torch.cuda.DeferredCudaCallError(OLD_DRIVER)])
def test_auto_passes_over_gpus_whose_driver_is_too_old(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_gpus(monkeypatch, [(8, 0), (8, 0)], error=error)
    assert choose_device("auto") == torch.device("cpu")
    assert caplog.messages == [
        "device=auto passes over cuda:0, cuda:1: CUDA does not start: The NVIDIA driver on your system is too old "
        "(found version 11040). Please update your GPU driver."
    ]


def test_nothing_is_said_of_gpus_that_are_not_needed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_gpus(monkeypatch, [(8, 0), (6, 1)])
    assert choose_device("auto") == torch.device("cuda:0")
    with_gpus(monkeypatch, [(6, 1)], error=RuntimeError(OLD_DRIVER))
    assert choose_device("cpu") == torch.device("cpu")
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("cuda", RuntimeError(OLD_DRIVER), f"CUDA does not start: {OLD_DRIVER.splitlines()[0]}"),
        ("cuda:1", AssertionError(), "CUDA does not start: AssertionError"),
        (
            "cuda:1",
            None,
            "this PyTorch has no code for compute capability 7.0, only for sm_75, sm_80, sm_86, sm_90, sm_100, sm_120",
        ),
    ],
)
def test_a_named_gpu_that_cannot_be_used_is_refused_in_a_line(
    name: str, error: Exception | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(monkeypatch, [(8, 0), (7, 0)], error=error)
    with pytest.raises(UserError) as caught:
        choose_device(name)
    assert str(caught.value) == f"device={name}: this GPU cannot be used: {reason}; device=cpu computes without it"


@pytest.mark.parametrize(
    ("built_for", "capability", "runs"),
    [
        (WHEEL, (7, 5), True),
        (WHEEL, (8, 9), True),  # machine code of 8.0 and 8.6
        (WHEEL, (12, 1), True),
        (WHEEL, (7, 0), False),
        (WHEEL, (6, 1), False),
        (WHEEL, (11, 0), False),  # no code of the same major version
        (["sm_86"], (8, 0), False),
        (["sm_80", "compute_90"], (12, 0), True),  # intermediate code runs on all that is newer
        (["sm_80", "compute_90"], (8, 9), True),
        (["compute_90"], (8, 9), False),
        (["sm_90a", "compute_90a"], (9, 0), True),
        (["sm_90a", "compute_90a"], (10, 0), False),
        (["sm_100a"], (10, 3), False),
        (["sm_100f", "compute_100f"], (10, 3), True),
        (["sm_100f", "compute_100f"], (12, 0), False),
        (["sm_next"], (8, 0), False),
        ([], (3, 0), True),  # nothing is known
    ],
)
def test_which_code_a_gpu_runs(built_for: list[str], capability: tuple[int, int], *, runs: bool) -> None:
    assert runs_code_for(built_for, capability) is runs


@pytest.mark.parametrize(
    ("built_for", "obstacle"),
    [
        (["gfx90a", "gfx942"], None),
        ([], None),
        (["gfx1100", "gfx942"], "this PyTorch has no code for gfx90a, only for gfx1100, gfx942"),
    ],
)
def test_gpus_of_amd_are_told_by_their_names(
    built_for: list[str], obstacle: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gpus(monkeypatch, [(9, 0)], built_for=built_for)
    monkeypatch.setattr("torch.version.hip", "7.0")
    named = Properties(9, 0, "gfx90a:sramecc+:xnack-")
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda gpu: named)
    assert obstacle_of("cuda:0") == obstacle


@pytest.mark.parametrize(("name", "current"), [("cuda:1", ["cuda:1"]), ("cpu", []), ("mps", [])])
def test_only_a_gpu_of_cuda_is_made_the_current_one(
    name: str, current: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr("torch.cuda.set_device", made.append)
    use_device(torch.device(name))
    assert made == [torch.device(each) for each in current]


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
