"""The recipe's optimiser: AdamW without weight decay on biases and norms; linear warm-up, then cosine decay."""

import math
from collections.abc import Callable

import torch
from torch import nn

from embedtune.core.config.train import TrainSettings

INITIAL_SHARE = 0.1  # recipe: init_lr = 0.1 x lr
MINIMUM_SHARE = 0.01  # recipe: min_lr = 0.01 x lr


def lr_share(finished: int, steps: int, warmup: int) -> float:
    """Return the share of the peak learning rate after `finished` optimiser steps.

    It rises linearly from 0.1 to 1 during the warm-up, then falls to 0.01 along a cosine (the recipe uses this
    scheduler of Megatron's). The warm-up takes at most half of the steps, so that short runs reach the peak too.
    """
    warmup = min(warmup, steps // 2)
    if finished < warmup:
        return INITIAL_SHARE + (1 - INITIAL_SHARE) * finished / warmup
    progress = min(1.0, (finished - warmup) / max(1, steps - warmup))
    return MINIMUM_SHARE + (1 - MINIMUM_SHARE) * (1 + math.cos(math.pi * progress)) / 2


def schedule(steps: int, warmup: int) -> Callable[[int], float]:
    """Return `lr_share` for one run, as a function of the finished steps."""
    return lambda finished: lr_share(finished, steps, warmup)


def optimizer_and_schedule(
    model: nn.Module, settings: TrainSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """Return the optimiser of the trainable weights and its learning-rate schedule."""
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        # Biases and norms are the weights with one dimension.
        {"params": [w for w in trainable if w.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [w for w in trainable if w.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.learning_rate)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, schedule(steps, settings.warmup_steps))
