"""Ctrl-C during training: the step is finished and saved, and the next run goes on to the same weights."""

import signal

import pytest

from embedtune.train.fit import newest_checkpoint
from embedtune.train.interruption import interruptible
from tests.support.training_world import Interrupt, make_world, record_of, tiny_config, train, weights


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_the_step_and_saves_it(world, tmp_path, number):
    config = tiny_config(world)  # measured and saved after steps 3 and 6
    handler = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train(world, tmp_path / "cut", config, Interrupt(1, number))
    assert signal.getsignal(number) is handler
    (checkpoints,) = (tmp_path / "cache-cut" / "train").iterdir()
    assert newest_checkpoint(checkpoints).name == "checkpoint-1"
    if number == signal.SIGINT:
        train(world, tmp_path / "whole", config)
        train(world, tmp_path / "cut", config)
        whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
        assert all((whole[name] == cut[name]).all() for name in whole | cut)
        assert record_of(tmp_path / "cut") == record_of(tmp_path / "whole")


def test_a_second_ctrl_c_stops_at_once():
    with pytest.raises(KeyboardInterrupt), interruptible() as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on")
