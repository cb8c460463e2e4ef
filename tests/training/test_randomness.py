"""Random generators go on where they were."""

import json
import os
import random
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from maskcls.config import as_dictionary, convert
from maskcls.errors import UserError
from maskcls.models.document import RandomState
from maskcls.training.randomness import capture_random, determinism, restore_random, seed_everything

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda:1"), torch.device("mps")
SOURCES: dict[str, Callable[[torch.Generator], float]] = {
    "python": lambda _: random.random(),
    "python's normal distribution": lambda _: random.gauss(0, 1),  # every second number is kept from the first
    "numpy": lambda _: float(np.random.rand()),
    "numpy's normal distribution": lambda _: float(np.random.randn()),  # as well
    "torch": lambda _: float(torch.rand(())),
    "augmentation": lambda generator: float(torch.rand((), generator=generator)),
}


def stored(numbers: RandomState) -> RandomState:
    """The numbers as a document gives them back."""
    read: RandomState = convert(json.loads(json.dumps(as_dictionary(numbers))), RandomState, "")
    return read


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("drawn_before", [0, 1, 5])
def test_a_restored_generator_draws_what_it_would_have_drawn(name: str, drawn_before: int) -> None:
    draw, augmentation = SOURCES[name], torch.Generator()
    seed_everything(3)
    for _ in range(drawn_before):
        draw(augmentation)
    numbers, tensors = capture_random(CPU, augmentation)
    expected = [draw(augmentation) for _ in range(5)]
    other = torch.Generator().manual_seed(99)
    seed_everything(4)
    assert [draw(other) for _ in range(5)] != expected
    restore_random(stored(numbers), {key: value.clone() for key, value in tensors.items()}, CPU, other)
    assert [draw(other) for _ in range(5)] == expected


def test_a_seed_repeats_all_global_generators_and_may_be_large() -> None:
    def drawn(seed: int) -> list[float]:
        seed_everything(seed)
        return [draw(torch.Generator()) for draw in SOURCES.values()]

    assert drawn(2**40 + 1) == drawn(2**40 + 1)
    assert all(a != b for a, b in zip(drawn(1)[:5], drawn(2)[:5], strict=True))


def test_there_may_be_no_augmentation() -> None:
    numbers, tensors = capture_random(CPU, None)
    assert "augmentation" not in tensors
    generator = torch.Generator().manual_seed(7)
    restore_random(numbers, tensors, CPU, generator)  # a training that had none
    assert generator.initial_seed() == 7
    restore_random(*capture_random(CPU, generator), CPU, None)


def test_another_device_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    generator = torch.Generator()
    numbers, tensors = capture_random(CPU, generator)
    before = generator.get_state()
    restore_random(
        numbers, {**tensors, "augmentation": torch.zeros(16, dtype=torch.uint8)}, CPU, generator
    )  # as CUDA's
    assert torch.equal(generator.get_state(), before)
    message = "resumed on another device: the augmentation of this epoch draws other random numbers"
    assert caplog.messages == [message]


@pytest.fixture
def fake_gpus(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """States of the generators of GPUs: by device, a list of one number."""
    states = {"cuda:0": [10], "cuda:1": [11], "mps": [12]}

    def get(device: object = "mps") -> torch.Tensor:
        return torch.tensor(states[str(device)], dtype=torch.uint8)

    def put(state: torch.Tensor, device: object = "mps") -> None:
        states[str(device)] = state.tolist()

    for module in ("torch.cuda", "torch.mps"):
        monkeypatch.setattr(f"{module}.get_rng_state", get)
        monkeypatch.setattr(f"{module}.set_rng_state", put)
    return states


@pytest.mark.parametrize("device", [CUDA, MPS])
def test_the_generator_of_the_device_is_kept_and_no_other(
    device: torch.device, fake_gpus: dict[str, list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    numbers, tensors = capture_random(device, None)
    assert {*tensors} == {"python", "numpy", "cpu", device.type}
    before = dict(fake_gpus)
    fake_gpus[str(device)] = [99]
    restore_random(numbers, tensors, device, None)
    assert fake_gpus == before
    restore_random(numbers, tensors, torch.device("cuda:0") if device == CUDA else device, None)
    assert fake_gpus == before | ({"cuda:0": [11]} if device == CUDA else {})  # the run goes on on another GPU
    assert not caplog.messages


@pytest.mark.usefixtures("fake_gpus")
def test_a_training_on_another_kind_of_device_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    restore_random(*capture_random(CPU, None), CUDA, None)
    message = "resumed on another device: what is drawn on it, such as dropout, draws other random numbers"
    assert caplog.messages == [message]
    restore_random(*capture_random(CUDA, None), CPU, None)
    assert caplog.messages == [message]  # the generator of the CPU is always kept


def test_on_the_cpu_cuda_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.init", lambda: pytest.fail("CUDA was started"))
    monkeypatch.setattr("torch.cuda._lazy_init", lambda: pytest.fail("CUDA was started"))
    restore_random(*capture_random(CPU, None), CPU, None)


@pytest.mark.parametrize("on", [False, True])
def test_algorithms_that_differ_each_time_are_refused_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, *, on: bool
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    values = torch.zeros(3)
    message = r"^deterministic=true: put_ .*gives other bits each time on this device; choose another model"
    with pytest.raises(UserError, match=message) if on else nullcontext(), determinism(on=on):
        assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if on else None)
        values.put_(torch.tensor([0]), torch.ones(1))
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="another"), determinism(on=on):
        raise RuntimeError("another")
