"""The spread between training seeds is part of the tuned model's intervals."""

import numpy as np
import pytest

from embedtune.core.config.config import Config
from embedtune.core.records.base import read_record
from embedtune.core.records.metrics import METRICS_FILE, Metrics
from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.seeds import seed_models, seed_notes, with_spread
from embedtune.evaluate.stage import run
from tests.support.context import context
from tests.support.evaluation_records import interval
from tests.support.evaluation_site import dataset_artifact, model_artifact
from tests.support.tiny_model import make_tiny_model, tiny_contract


def _result(**found: int) -> SetResult:
    """Return a set of ten queries; each system finds the passages of the first so many."""
    queries = [Record(f"q{n}", "x") for n in range(10)]
    data = RetrievalSet(
        [Record(f"p{n}", "x") for n in range(10)], queries, {f"q{n}": {f"p{n}": 1} for n in range(10)}
    )
    runs = {
        system.replace("_", "-"): {f"q{n}": {f"p{n}": 1.0} if n < count else {} for n in range(10)}
        for system, count in found.items()
    }
    return SetResult("s", data, runs, (10,))


def test_the_half_widths_add_up_in_squares():
    """Means 0.5, 0.6 and 0.7: s = 0.1, and t = 4.302653 for two degrees of freedom.

    low = 0.2 - sqrt(0.1^2 + 0.4302653^2), high = 0.2 + sqrt(0.15^2 + 0.4302653^2)
    """
    given = {"s": {"ndcg@10": interval(0.2, 0.1, 0.35)}}
    widened = with_spread(given, [_result(tuned=5, seed_43=6, seed_44=7)], 0.95)["s"]["ndcg@10"]
    assert widened.mean == 0.2 and widened.units == 20
    assert (widened.low, widened.high) == pytest.approx((-0.241733, 0.655662), abs=2e-6)


def test_seeds_that_agree_and_a_single_one_change_nothing():
    given = {"s": {"ndcg@10": interval(0.2, 0.1, 0.35)}}
    assert with_spread(given, [_result(tuned=5)], 0.95) == given
    assert with_spread(given, [_result(tuned=5, seed_43=5, seed_44=5)], 0.95) == given


def test_an_interval_stays_within_what_a_difference_can_be():
    given = {"s": {"ndcg@10": interval(0.2, -1.0, 1.0, units=3)}}
    widened = with_spread(given, [_result(tuned=0, seed_43=10, seed_44=0)], 0.95)["s"]["ndcg@10"]
    assert (widened.low, widened.high) == (-1.0, 1.0) and widened.unbounded


def test_the_notes_give_every_seed_and_their_deviation():
    (note,) = seed_notes([_result(tuned=5), _result(tuned=5, seed_43=6, seed_44=7)])
    assert "with 3 seeds: 0.5000, 0.6000, 0.7000" in note and "standard deviation 0.1000" in note


def test_the_models_of_other_seeds_are_found_in_the_order_of_their_numbers(tmp_path):
    for seed in ("10", "9"):
        (tmp_path / "seeds" / seed).mkdir(parents=True)
    assert list(seed_models(tmp_path)) == ["seed-9", "seed-10"]
    assert seed_models(tmp_path / "none") == {}


def test_the_models_of_other_seeds_are_measured_and_widen_the_interval(tmp_path):
    contract = tiny_contract(make_tiny_model(tmp_path / "base", seed=0))
    settings = {"contract": contract, "evaluate": {"k": [1, 5]}, "runtime": {"device": "cpu"}}
    setting = context(Config.model_validate(settings), tmp_path / "cache")
    dataset = dataset_artifact(tmp_path / "dataset")
    alone = model_artifact(tmp_path / "alone", contract, seed=1)
    with_others = model_artifact(tmp_path / "model", contract, seed=1, others={43: 5, 44: 6})
    run(dataset, alone, tmp_path / "one", setting)
    report = run(dataset, with_others, tmp_path / "several", setting)
    one, several = (
        read_record(tmp_path / name / METRICS_FILE, Metrics).sets["synthetic"] for name in ("one", "several")
    )
    assert set(several.systems) == {*one.systems, "seed-43", "seed-44"}
    means = [several.systems[system]["ndcg@10"] for system in ("tuned", "seed-43", "seed-44")]
    margin = 4.302653 * np.std(means, ddof=1)
    ours, theirs = several.delta["ndcg@10"], one.delta["ndcg@10"]
    assert margin > 0.01 and ours.mean == theirs.mean
    assert ours.low == pytest.approx(max(-1, ours.mean - np.hypot(theirs.mean - theirs.low, margin)), abs=1e-5)
    assert any("with 3 seeds" in note for note in report.notes)
