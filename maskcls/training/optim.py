"""Optimizers and learning-rate schedules, by name."""

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR

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


def build_schedule(config: ScheduleConfig, optimizer: Optimizer, epochs: int, steps_per_epoch: int) -> LRScheduler:
    """The learning rate by step; its ``step`` is called after each step of the optimizer."""
    total = epochs * steps_per_epoch
    if isinstance(config, OneCycleConfig):
        peak = optimizer.param_groups[0]["lr"]
        return OneCycleLR(
            optimizer,
            max_lr=peak,
            total_steps=total + 1,  # the schedule is read once more, after the last step
            pct_start=config.warmup_fraction,
            div_factor=1 / config.start_factor,
            # OneCycleLR counts its last factor from the first learning rate, not from the peak
            final_div_factor=config.start_factor / config.final_factor,
            cycle_momentum=False,
        )
    if isinstance(config, CosineConfig):
        lowest = config.final_factor * optimizer.param_groups[0]["lr"]
        warmup = round(config.warmup_epochs * steps_per_epoch)
        if not warmup:
            return CosineAnnealingLR(optimizer, T_max=total, eta_min=lowest)
        rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        fall = CosineAnnealingLR(optimizer, T_max=total - warmup, eta_min=lowest)
        return SequentialLR(optimizer, [rise, fall], milestones=[warmup])
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
