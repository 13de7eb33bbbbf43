"""Weights of rows in real trainings: they change the model, unless they are all equal."""

import numpy as np
import pytest

from tests.support.tiny_model import make_tiny_llama
from tests.support.training_world import make_world, record_of, tiny_config, train, weights

LOSSES = ("own_negatives", "in_batch", "hybrid")


def trained(folder, config_of, **world):
    """Train in a new world without dev questions; return the weights of the model and the loss of each step."""
    made = make_world(folder / "world", dev=0, **world)
    train(made, folder / "model", tiny_config(made, **config_of))
    return weights(folder / "model"), [step.loss for step in record_of(folder / "model").steps]


@pytest.mark.parametrize("loss", LOSSES)
def test_only_weights_that_differ_change_the_model(tmp_path, loss):
    """Row 0 is the question of a person."""
    config = {"loss": loss, "micro_batch_size": 3}
    plain, _ = trained(tmp_path / "plain", config)
    equal, _ = trained(tmp_path / "equal", config, weights=[0.9] * 24)
    person, _ = trained(tmp_path / "person", config, weights=[3])
    assert all(value.tobytes() == equal[name].tobytes() for name, value in plain.items())
    assert any(np.abs(value - person[name]).max() > 1e-4 for name, value in plain.items())


@pytest.mark.parametrize("size", [1, 2])
def test_the_loss_of_a_step_is_the_mean_of_weight_times_loss(tmp_path, size):
    """Weights 3 and 1 are 1.5 and 0.5; the first loss is known from a training on that row alone."""
    config = {"micro_batch_size": size, "epochs": 1}  # one step
    (first,), (both,), (weighted,) = (
        trained(tmp_path / name, config, make_base=make_tiny_llama, rows=rows, weights=given)[1]  # no dropout
        for name, rows, given in (("one", 1, [1]), ("two", 2, [1, 1]), ("weighted", 2, [3, 1]))
    )
    second = 2 * both - first
    assert abs(first - second) > 0.01
    assert weighted == pytest.approx((1.5 * first + 0.5 * second) / 2)
