"""The recipe's learning rate and weight decay."""

import pytest
import torch
from torch import nn

from embedtune.core.config.train import TrainSettings
from embedtune.train.schedule import lr_share, optimizer_and_schedule


@pytest.mark.parametrize(
    ("finished", "share"),
    [
        (0, 0.1),  # init_lr
        (1, 0.28),  # 0.1 + 0.9 / 5
        (5, 1.0),  # the peak, after 5 warm-up steps
        (55, 0.505),  # half-way down the cosine: (1 + 0.01) / 2
        (105, 0.01),  # min_lr
        (200, 0.01),
    ],
)
def test_warm_up_then_cosine(finished, share):
    assert lr_share(finished, steps=105, warmup=5) == pytest.approx(share)


def test_a_short_run_reaches_the_peak_too():
    assert [lr_share(step, steps=4, warmup=5) for step in range(3)] == pytest.approx([0.1, 0.55, 1.0])
    assert lr_share(0, steps=1, warmup=5) == 1.0


def test_biases_and_norms_are_not_decayed():
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    optimizer, schedule = optimizer_and_schedule(model, TrainSettings(learning_rate=2e-5), steps=100)
    decayed, free = optimizer.param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.01, 0.0)
    assert [tuple(weight.shape) for weight in decayed["params"]] == [(3, 2)]
    assert [tuple(weight.shape) for weight in free["params"]] == [(3,), (3,), (3,)]
    assert schedule.get_last_lr() == pytest.approx([2e-6, 2e-6])


def test_frozen_weights_are_left_out():
    model = nn.Linear(2, 3)
    model.bias.requires_grad_(False)
    optimizer, _ = optimizer_and_schedule(model, TrainSettings(), steps=10)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]
    assert isinstance(optimizer, torch.optim.AdamW)
