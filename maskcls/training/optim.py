"""Optimizers and learning-rate schedules, by name."""

import logging
import math
from functools import cache
from typing import assert_never

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from maskcls.config import (
    AdamConfig,
    ConstantConfig,
    CosineConfig,
    OneCycleConfig,
    OptimConfig,
    ScheduleConfig,
    SGDConfig,
)
from maskcls.data.fallback import COMPLETE
from maskcls.errors import is_out_of_memory

log = logging.getLogger(__name__)


def build_optimizer(config: OptimConfig, model: nn.Module) -> Optimizer:
    """Build the optimizer of a model's parameters. It uses torch's fused kernels where the device has them."""
    groups = _parameter_groups(model, config.weight_decay, decay_norm_and_bias=config.decay_norm_and_bias)
    device = next(model.parameters()).device
    match config:
        case SGDConfig():
            momentum, nesterov, fused = config.momentum, config.nesterov, has_fused(SGD, device)
            optimizer = SGD(groups, lr=config.lr, momentum=momentum, nesterov=nesterov, fused=fused)
            if momentum:  # torch's own would be memory that was never written, if the first step is skipped
                for parameter in model.parameters():
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
            return optimizer
        case AdamConfig():
            kind = Adam if config.name == "adam" else AdamW
            betas, fused = (config.beta1, config.beta2), has_fused(kind, device)
            return kind(groups, lr=config.lr, betas=betas, eps=config.eps, fused=fused)
        case _:
            assert_never(config)


@cache
def has_fused(kind: type[SGD | Adam], device: torch.device) -> bool:
    """Whether a device has torch's fused kernels of an optimizer, by a step on one number. A line says so if not.

    Raises:
        RuntimeError: if the step fails for want of memory.
    """
    if device.type in COMPLETE:
        return True
    try:
        number = torch.zeros(1, device=device, requires_grad=True)
        number.grad = torch.zeros_like(number)
        kind([number], lr=1.0, fused=True).step()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0]
        log.warning("%s has no fused %s, so a step takes longer: %s", device.type, kind.__name__, reason)
        return False
    return True


def moments(config: OptimConfig) -> int:
    """The number of tensors as large as the weights that an optimizer keeps, for estimates of memory."""
    match config:
        case SGDConfig():
            return int(config.momentum > 0)
        case AdamConfig():
            return 2
        case _:
            assert_never(config)


def _parameter_groups(model: nn.Module, weight_decay: float, *, decay_norm_and_bias: bool) -> list[dict[str, object]]:
    if decay_norm_and_bias:
        return [{"params": list(model.parameters()), "weight_decay": weight_decay}]
    # biases and weights of normalization layers have one dimension, all other weights have more
    return [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]


def build_schedule(config: ScheduleConfig, optimizer: Optimizer, epochs: int, steps_per_epoch: int) -> LambdaLR:
    """Build the learning-rate schedule. Call its ``step`` after each step of the optimizer."""
    total = epochs * steps_per_epoch
    match config:
        case OneCycleConfig():
            return LambdaLR(optimizer, lambda step: _one_cycle(step, total, config))
        case CosineConfig():
            warmup = min(round(config.warmup_epochs * steps_per_epoch), total - 1)
            return LambdaLR(optimizer, lambda step: _cosine(step, total, warmup, config.final_factor))
        case ConstantConfig():
            warmup = round(config.warmup_epochs * steps_per_epoch)
            return LambdaLR(optimizer, lambda step: _warm_up(step, warmup))
        case _:
            assert_never(config)


def _one_cycle(step: int, total: int, config: OneCycleConfig) -> float:
    """Factor of the learning rate: ``start_factor`` at the first step, 1 at the peak, ``final_factor`` at the end."""
    peak = max(1, min(round(config.warmup_fraction * total), total - 1))
    if step <= peak:
        return _half_cosine(config.start_factor, 1.0, step / peak)
    return _half_cosine(1.0, config.final_factor, (step - peak) / max(1, total - 1 - peak))


def _cosine(step: int, total: int, warmup: int, final_factor: float) -> float:
    """Factor of the learning rate: it rises linearly to 1 in ``warmup`` steps, then falls to ``final_factor``."""
    if step < warmup:
        return _warm_up(step, warmup)
    return _half_cosine(1.0, final_factor, (step - warmup) / max(1, total - 1 - warmup))


def _warm_up(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / (warmup + 1))


def _half_cosine(start: float, end: float, progress: float) -> float:
    """Go from ``start`` at progress 0 to ``end`` at progress 1, along half a period of a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
