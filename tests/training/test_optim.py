"""Optimizers and learning rates against what their formulas give."""

import logging
import math
from typing import Any

import pytest
import torch
from configuration import config_of
from torch import nn
from torch.optim import SGD, Adam, AdamW

from maskcls.training import optim
from maskcls.training.optim import build_optimizer, build_schedule, has_fused

MODEL = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def optimizer_of(*overrides: str) -> torch.optim.Optimizer:
    return build_optimizer(config_of("train", "data=synthetic", *overrides).optim, MODEL)


def rates(*overrides: str, epochs: int = 4, steps: int = 5) -> list[float]:
    config = config_of("train", "data=synthetic", f"epochs={epochs}", "optim.lr=0.2", *overrides)
    optimizer = build_optimizer(config.optim, MODEL)
    schedule = build_schedule(config.schedule, optimizer, epochs, steps)
    used = []
    for _ in range(epochs * steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return used


def test_sgd_takes_its_settings() -> None:
    optimizer = optimizer_of(
        "optim=sgd", "optim.lr=0.3", "optim.momentum=0.8", "optim.nesterov=true", "optim.weight_decay=0.1"
    )
    assert type(optimizer) is SGD
    group = optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (0.3, 0.8, True, 0.1)
    assert len(group["params"]) == 6


def test_momentum_begins_with_zeros_also_if_the_first_step_is_skipped() -> None:
    optimizer = optimizer_of("optim=sgd", "optim.momentum=0.9")
    weights = [parameter.detach().clone() for parameter in MODEL.parameters()]
    for parameter in MODEL.parameters():
        parameter.grad = torch.full_like(parameter, math.nan)
    optimizer.found_inf = torch.ones(())  # type: ignore[attr-defined]
    optimizer.step()
    MODEL.zero_grad()
    buffers = [optimizer.state[parameter]["momentum_buffer"] for parameter in MODEL.parameters()]
    assert len(buffers) == 6
    assert all(torch.equal(buffer, torch.zeros_like(buffer)) for buffer in buffers)
    assert all(map(torch.equal, weights, MODEL.parameters()))
    assert not optimizer_of("optim=sgd", "optim.momentum=0").state


@pytest.mark.parametrize(("name", "kind"), [("adam", Adam), ("adamw", AdamW)])
def test_adam_takes_its_settings(name: str, kind: type) -> None:
    optimizer = optimizer_of(f"optim={name}", "optim.beta1=0.8", "optim.beta2=0.99", "optim.eps=1e-6")
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.99)
    assert optimizer.param_groups[0]["eps"] == 1e-6
    assert optimizer.param_groups[0]["weight_decay"] == (0.01 if name == "adamw" else 0)


@pytest.mark.parametrize(("name", "kind"), [("sgd", SGD), ("adam", Adam), ("adamw", AdamW)])
@pytest.mark.parametrize("has", [True, False])
def test_optimizers_are_fused_where_the_device_has_that(
    name: str, kind: type, monkeypatch: pytest.MonkeyPatch, *, has: bool
) -> None:
    asked = []

    def fused(*question: Any) -> bool:
        asked.append(question)
        return has

    monkeypatch.setattr(optim, "has_fused", fused)
    assert optimizer_of(f"optim={name}").defaults["fused"] is has
    assert asked == [(kind, torch.device("cpu"))]


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_cpus_and_cuda_have_fused_optimizers(device: str, caplog: pytest.LogCaptureFixture) -> None:
    assert all(has_fused(kind, torch.device(device)) for kind in (SGD, Adam, AdamW))
    assert not caplog.records


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_other_devices_are_tried_once(
    kind: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    has_fused.cache_clear()
    steps = []

    def refused(optimizer: Any) -> None:
        steps.append(optimizer.defaults["fused"])
        raise RuntimeError("`fused=True` requires supported devices\nException raised from")

    monkeypatch.setattr(kind, "step", refused)
    monkeypatch.setattr(optim, "COMPLETE", ("cuda",))
    assert [has_fused(kind, torch.device("cpu")) for _ in range(2)] == [False, False]
    assert steps == [True]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            f"cpu has no fused {kind.__name__}, so a step takes longer: `fused=True` requires supported devices",
        )
    ]
    has_fused.cache_clear()


def test_another_device_that_steps_has_fused_optimizers(monkeypatch: pytest.MonkeyPatch) -> None:
    has_fused.cache_clear()
    monkeypatch.setattr(optim, "COMPLETE", ("cuda",))
    assert has_fused(Adam, torch.device("cpu"))


def test_want_of_memory_is_not_a_missing_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    has_fused.cache_clear()

    def full(optimizer: Any) -> None:
        raise RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)")

    monkeypatch.setattr(SGD, "step", full)
    monkeypatch.setattr(optim, "COMPLETE", ("cuda",))
    with pytest.raises(RuntimeError, match="out of memory"):
        has_fused(SGD, torch.device("cpu"))


def test_norms_and_biases_are_spared_weight_decay_when_asked() -> None:
    decayed, spared = optimizer_of("optim.weight_decay=0.1", "optim.decay_norm_and_bias=false").param_groups
    assert [p.ndim for p in decayed["params"]] == [4, 2]
    assert decayed["weight_decay"] == 0.1
    assert [p.ndim for p in spared["params"]] == [1, 1, 1, 1]
    assert spared["weight_decay"] == 0


def test_constant_stays() -> None:
    assert rates("schedule=constant") == [0.2] * 20


def test_constant_may_be_warmed_up_to() -> None:
    used = rates("schedule=constant", "schedule.warmup_epochs=1")
    assert used[:5] == pytest.approx([0.2 * (i + 1) / 6 for i in range(5)])
    assert used[5:] == [0.2] * 15


def test_cosine_warms_up_linearly_and_falls_by_half_a_cosine() -> None:
    used = rates("schedule=cosine", "schedule.warmup_epochs=1", "schedule.final_factor=0.1")
    assert used[:5] == pytest.approx([0.2 * (1 / 6 + (5 / 6) * i / 5) for i in range(5)])
    expected = [0.02 + 0.18 * (1 + math.cos(math.pi * i / 14)) / 2 for i in range(15)]
    assert used[5:] == pytest.approx(expected)
    assert used[-1] == pytest.approx(0.02)


def test_cosine_without_warm_up_starts_at_the_top() -> None:
    used = rates("schedule=cosine", "schedule.warmup_epochs=0")
    assert used[0] == 0.2
    assert used == sorted(used, reverse=True)


def test_onecycle_rises_to_the_learning_rate_and_falls() -> None:
    used = rates("schedule=onecycle", "schedule.warmup_fraction=0.25", "schedule.start_factor=0.1", epochs=10, steps=10)
    assert (used[0], used[25], used[-1]) == pytest.approx((0.02, 0.2, 0.2 * 0.0001))
    assert used[:26] == sorted(used[:26])
    assert used[25:] == sorted(used[25:], reverse=True)


@pytest.mark.parametrize("schedule", ["schedule=onecycle", "schedule=cosine"])
@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 2), (2, 1)])
def test_the_shortest_trainings_have_a_learning_rate(schedule: str, epochs: int, steps: int) -> None:
    extra = ["schedule.warmup_epochs=0.9"] if "cosine" in schedule else []
    assert all(0 <= rate <= 0.2 for rate in rates(schedule, *extra, epochs=epochs, steps=steps))
