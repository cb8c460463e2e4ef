"""Random generators go on where they were."""

import json
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from maskcls.config import as_dictionary, convert
from maskcls.models.document import RandomState
from maskcls.training.randomness import capture_random, restore_random, seed_everything

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
    numbers, tensors = capture_random(augmentation)
    expected = [draw(augmentation) for _ in range(5)]
    other = torch.Generator().manual_seed(99)
    seed_everything(4)
    assert [draw(other) for _ in range(5)] != expected
    restore_random(stored(numbers), {key: value.clone() for key, value in tensors.items()}, other)
    assert [draw(other) for _ in range(5)] == expected


def test_a_seed_repeats_all_global_generators_and_may_be_large() -> None:
    def drawn(seed: int) -> list[float]:
        seed_everything(seed)
        return [draw(torch.Generator()) for draw in SOURCES.values()]

    assert drawn(2**40 + 1) == drawn(2**40 + 1)
    assert all(a != b for a, b in zip(drawn(1)[:5], drawn(2)[:5], strict=True))


def test_there_may_be_no_augmentation() -> None:
    numbers, tensors = capture_random(None)
    assert "augmentation" not in tensors
    generator = torch.Generator().manual_seed(7)
    restore_random(numbers, tensors, generator)  # a training that had none
    assert generator.initial_seed() == 7
    restore_random(*capture_random(generator), None)


def test_another_device_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    generator = torch.Generator()
    numbers, tensors = capture_random(generator)
    before = generator.get_state()
    restore_random(numbers, {**tensors, "augmentation": torch.zeros(16, dtype=torch.uint8)}, generator)  # as CUDA's
    assert torch.equal(generator.get_state(), before)
    message = "resumed on another device: the augmentation of this epoch draws other random numbers"
    assert caplog.messages == [message]


def test_generators_of_devices_that_are_not_there_are_left_alone_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    numbers, tensors = capture_random(None)
    restored: list[torch.Tensor] = []
    monkeypatch.setattr("torch.cuda.set_rng_state_all", restored.extend)
    states = [torch.full((16,), i, dtype=torch.uint8) for i in range(2)]
    with_two = {**tensors, "cuda/0": states[0], "cuda/1": states[1]}
    restore_random(numbers, with_two, None)
    assert restored == []
    message = "resumed with another number of GPUs: what is drawn on them, such as dropout, is drawn anew"
    assert caplog.messages == [message]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    restore_random(numbers, with_two, None)
    assert [int(state[0]) for state in restored] == [0, 1]
    assert caplog.messages == [message]


def test_the_generators_of_all_devices_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [torch.full((16,), i, dtype=torch.uint8) for i in range(2)]
    monkeypatch.setattr("torch.cuda.get_rng_state_all", lambda: states)
    _, tensors = capture_random(None)
    assert {name for name in tensors if "cuda" in name} == {"cuda/0", "cuda/1"}
    assert int(tensors["cuda/1"][0]) == 1
