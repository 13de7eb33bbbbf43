"""Merged weights lie on the line between those of the base model and the tuned ones."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from embedtune.core.encoders.pytorch import load_model
from embedtune.core.errors import ContractError
from embedtune.core.progress import SilentProgress
from embedtune.train.merge import measure_shares, merge_into
from tests.support.training_world import World, make_world, record_of, tiny_config, train


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


class Line(nn.Module):
    """A model of one weight."""

    def __init__(self, value: float, count: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((count,), value))


def merged(tuned: float, base: float, share: float) -> float:
    model = Line(tuned)
    merge_into(model, Line(base), share)  # type: ignore[arg-type]
    return float(model.weight.detach())


def test_the_share_is_that_of_the_base() -> None:
    assert merged(tuned=2.0, base=1.0, share=0.25) == 1.75
    assert merged(tuned=2.0, base=1.0, share=0.0) == 2.0
    assert merged(tuned=2.0, base=1.0, share=1.0) == 1.0


@given(st.floats(-100, 100, width=32), st.floats(-100, 100, width=32), st.floats(0, 1, width=32))
def test_a_merged_weight_is_between_both(tuned: float, base: float, share: float) -> None:
    assert min(tuned, base) - 1e-4 <= merged(tuned, base, share) <= max(tuned, base) + 1e-4


def test_models_of_other_shapes_are_refused() -> None:
    with pytest.raises(ContractError, match="do not have the same weights"):
        merge_into(Line(1.0, 2), Line(1.0, 3), 0.5)  # type: ignore[arg-type]


def test_every_share_is_measured_and_the_model_stays_as_it_is() -> None:
    tuned, base = Line(2.0), Line(1.0)
    measured = measure_shares(tuned, base, 0.375, lambda model: float(model.weight.detach()), SilentProgress())  # type: ignore[arg-type]
    assert measured == {0.25: 1.75, 0.375: 1.625, 0.5: 1.5, 0.75: 1.25}
    assert (float(tuned.weight), float(base.weight)) == (2.0, 1.0)


@pytest.mark.parametrize("lora", [None, {"rank": 4, "alpha": 8}], ids=["all weights", "lora"])
def test_training_saves_the_merged_weights_and_measures_those(
    world: World, tmp_path: Path, lora: dict[str, int] | None
) -> None:
    plain = tiny_config(world, learning_rate=1e-2, lora=lora)
    train(world, tmp_path / "tuned", plain)
    report = train(world, tmp_path / "merged", tiny_config(world, learning_rate=1e-2, lora=lora, base_share=0.25))
    base = dict(load_model(world.base, plain.contract, plain.runtime).named_parameters())
    tuned = dict(load_model(tmp_path / "tuned", plain.contract, plain.runtime).named_parameters())
    got = dict(load_model(tmp_path / "merged", plain.contract, plain.runtime).named_parameters())
    for name, weight in got.items():
        torch.testing.assert_close(weight, 0.25 * base[name] + 0.75 * tuned[name], atol=1e-6, rtol=1e-5)
    record = record_of(tmp_path / "merged")
    assert record.base_share == 0.25
    assert [point.base_share for point in record.shares] == [0.0, 0.25, 0.5, 0.75, 1.0]
    at = {point.base_share: point.ndcg_at_10 for point in record.shares}
    kept = next(point for point in record.dev if point.step == record.best.step)
    assert (at[0.0], at[1.0]) == (kept.ndcg_at_10, record.dev[0].ndcg_at_10)
    assert at[0.25] == pytest.approx(record.best.ndcg_at_10, abs=1e-6)  # as saved
    assert record_of(tmp_path / "tuned").shares == ()
    assert record.steps == record_of(tmp_path / "tuned").steps
    assert report.metrics["dev_ndcg@10"] == round(record.best.ndcg_at_10, 4)
    assert not any("saved in" in note for note in report.notes)  # a merge is no rounding
    assert "whose share is 25%" in (tmp_path / "merged" / "README.md").read_text()
    assert (
        "a question and a passage that answers it, and 2 mined passages that do not."
        in (tmp_path / "tuned" / "README.md").read_text()
    )
    assert "share is" not in (tmp_path / "tuned" / "README.md").read_text()
