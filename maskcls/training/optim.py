"""Optimizers and learning-rate schedules, by name."""

import math

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from maskcls.config import CosineConfig, OneCycleConfig, OptimConfig, ScheduleConfig, SGDConfig


def build_optimizer(config: OptimConfig, model: nn.Module) -> Optimizer:
    """The optimizer of a model's parameters, with torch's fused kernels."""
    groups = _parameter_groups(model, config.weight_decay, config.decay_norm_and_bias)
    if isinstance(config, SGDConfig):
        return SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=True)
    kind = Adam if config.name == "adam" else AdamW
    return kind(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


def _parameter_groups(model: nn.Module, weight_decay: float, decay_norm_and_bias: bool) -> list[dict[str, object]]:
    parameters = list(model.parameters())
    if decay_norm_and_bias:
        return [{"params": parameters, "weight_decay": weight_decay}]
    # biases and the weights of normalization layers are vectors, all others have two dimensions or more
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def build_schedule(config: ScheduleConfig, optimizer: Optimizer, epochs: int, steps_per_epoch: int) -> LambdaLR:
    """The learning rate by step; its ``step`` is called after each step of the optimizer."""
    total = epochs * steps_per_epoch
    match config:
        case OneCycleConfig():
            return LambdaLR(optimizer, lambda step: _one_cycle(step, total, config))
        case CosineConfig():
            warmup = min(round(config.warmup_epochs * steps_per_epoch), total - 1)
            return LambdaLR(optimizer, lambda step: _cosine(step, total, warmup, config.final_factor))
        case _:
            rising = round(config.warmup_epochs * steps_per_epoch)
            return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (rising + 1)))


def _one_cycle(step: int, total: int, config: OneCycleConfig) -> float:
    """Factor of the learning rate: ``start_factor`` at the first step, 1 at the peak, ``final_factor`` at the last."""
    peak = max(1, min(round(config.warmup_fraction * total), total - 1))
    if step <= peak:
        return _half_cosine(config.start_factor, 1.0, step / peak)
    return _half_cosine(1.0, config.final_factor, (step - peak) / max(1, total - 1 - peak))


def _cosine(step: int, total: int, warmup: int, final_factor: float) -> float:
    """Factor of the learning rate: linear to 1 in ``warmup`` steps, then down to ``final_factor`` at the last."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return _half_cosine(1.0, final_factor, (step - warmup) / max(1, total - 1 - warmup))


def _half_cosine(start: float, end: float, progress: float) -> float:
    """From ``start`` at a progress of 0 to ``end`` at 1 and beyond, along half a period of a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
