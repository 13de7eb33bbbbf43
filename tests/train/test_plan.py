"""The training plan: which rows form which step."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.config.train import TrainSettings
from embedtune.train.plan import effective_batch_size, plan_training


@pytest.mark.parametrize(
    ("configured", "rows", "size"),
    [
        (128, 2000, 128),  # large enough: the recipe's batch
        (128, 1999, 64),  # 249 -> capped at 64
        (128, 300, 37),  # 300 // 8
        (128, 100, 16),  # 12 -> at least 16
        (128, 10, 10),  # never more than the number of rows
        (32, 300, 32),  # the rule applies to the default only
    ],
)
def test_a_batch_of_128_shrinks_below_2000_rows(configured, rows, size):
    assert effective_batch_size(configured, rows) == size


def test_three_epochs_of_300_rows():
    plan = plan_training(300, TrainSettings(), seed=42)
    assert (plan.batch_size, plan.micro_batches) == (37, 10)  # ceil(37 / 4)
    assert plan.steps == 25  # ceil(900 / 37)
    assert plan.evaluation_interval == 9  # 3 measurements: steps 9, 18 and the last
    assert plan.epoch(25) == pytest.approx(925 / 300)


def test_in_batch_negatives_need_the_whole_batch_at_once():
    plan = plan_training(300, TrainSettings(loss="in_batch"), seed=42)
    assert plan.micro_batches == 1
    assert [len(batch) for batch in plan.batches()] == [37] * 25


def test_several_measurements_per_epoch_are_possible():
    plan = plan_training(320, TrainSettings(batch_size=32, epochs=2, evaluations_per_epoch=5), seed=1)
    assert (plan.steps, plan.evaluation_interval) == (20, 2)


@given(
    rows=st.integers(1, 90),
    batch_size=st.integers(2, 40),
    micro=st.integers(1, 9),
    epochs=st.floats(0.1, 3),
    seed=st.integers(0, 5),
)
def test_steps_are_full_and_rows_come_up_equally_often(rows, batch_size, micro, epochs, seed):
    settings = TrainSettings(batch_size=batch_size, micro_batch_size=micro, epochs=epochs)
    plan = plan_training(rows, settings, seed)
    batches = plan.batches()
    assert len(batches) == plan.steps * plan.micro_batches
    for step in range(plan.steps):
        parts = batches[step * plan.micro_batches : (step + 1) * plan.micro_batches]
        assert sum(map(len, parts)) == plan.batch_size
        assert all(1 <= len(part) <= micro for part in parts)
    seen = Counter(row for batch in batches for row in batch)
    times = [seen[row] for row in range(rows)]
    assert max(times) - min(times) <= 1
    assert plan.batches() == batches


def test_another_seed_gives_another_order():
    settings = TrainSettings(batch_size=8)
    assert plan_training(50, settings, 1).batches() != plan_training(50, settings, 2).batches()
