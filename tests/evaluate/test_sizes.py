"""Every vector size that is served is evaluated; what each costs is measured, with intervals."""

from pathlib import Path

import numpy as np
import pytest

from embedtune.core.config.config import Config
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import SilentProgress
from embedtune.core.retrieval.beir import Record, RetrievalSet
from embedtune.core.retrieval.forms import FULL, Form
from embedtune.core.retrieval.sizes import cut
from embedtune.evaluate.intervals import Sampling
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.retrieve import dense_runs
from embedtune.evaluate.sizes import size_metrics, size_notes

# The first number alone separates a from b; the second one turns the order round.
VECTORS = {"q": (0.6, 0.8), "a": (0.8, -0.6), "b": (0.0, 1.0)}
DATA = RetrievalSet([Record("a", "a"), Record("b", "b")], [Record("q", "q")], {"q": {"a": 1}})


class FixedEncoder:
    """Returns the vectors of the table."""

    fingerprint = "fixed"
    calls = 0

    def encode_queries(self, texts, progress) -> Vectors:
        return self.encode_passages(texts, progress)

    def encode_passages(self, texts, progress) -> Vectors:
        self.calls += 1
        return np.array([VECTORS[text] for text in texts], dtype=np.float32)


def test_cut_vectors_have_unit_length_again() -> None:
    np.testing.assert_allclose(cut(np.array([[0.6, 0.8, 0.0]], dtype=np.float32), 1), [[1.0]])
    np.testing.assert_array_equal(cut(np.zeros((1, 3), dtype=np.float32), 2), [[0.0, 0.0]])


def test_a_set_is_encoded_once_and_searched_with_each_size() -> None:
    encoder = FixedEncoder()
    runs = dense_runs(encoder, DATA, 2, "cpu", SilentProgress(), (FULL, Form(1)))
    assert encoder.calls == 2  # queries and passages
    assert list(runs) == [FULL, Form(1)]
    assert runs[FULL]["q"] == pytest.approx({"b": 0.8, "a": 0.0}, abs=1e-6)
    assert runs[Form(1)]["q"] == pytest.approx({"a": 1.0, "b": 0.0}, abs=1e-6)


def _result(*, tuned_small: bool) -> SetResult:
    """Return a set of 30 queries whose answers both models find, with smaller vectors perhaps only the base."""
    queries = [Record(f"q{n}", "x") for n in range(30)]
    corpus = [Record(f"p{n}", "x") for n in range(30)]
    answers = {f"q{n}": f"p{n}" for n in range(30)}
    data = RetrievalSet(corpus, queries, {query: {passage: 1} for query, passage in answers.items()})
    found = {query: {passage: 1.0} for query, passage in answers.items()}
    nothing: dict[str, dict[str, float]] = {query: {} for query in answers}
    small = {"base": found, "tuned": found if tuned_small else nothing}
    return SetResult("s", data, {"base": found, "tuned": found}, (10,), {16: SetResult("s", data, small, (10,))})


def test_the_cost_of_a_size_is_its_paired_difference_from_the_full_size(config: Config) -> None:
    (size,) = size_metrics(_result(tuned_small=False), Sampling.of(config.evaluate, config.seed))
    assert size.dimension == 16
    assert (size.systems["base"]["ndcg@10"], size.systems["tuned"]["ndcg@10"]) == (1.0, 0.0)
    assert (size.change.mean, size.change.low, size.change.high) == (-1.0, -1.0, -1.0)
    assert size.delta["ndcg@10"].mean == -1.0
    assert size.delta_champion is None


@pytest.mark.parametrize("tuned_small", [False, True])
def test_a_size_with_which_tuning_hurts_is_named(config: Config, tuned_small: bool) -> None:
    result = _result(tuned_small=tuned_small)
    noted = size_notes([result], {"s": size_metrics(result, Sampling.of(config.evaluate, config.seed))})
    assert [("16 (-1.0000)" in note and "train.matryoshka" in note) for note in noted] == [True] * (
        not tuned_small
    )


def test_one_size_has_no_further_metrics(config: Config, tmp_path: Path) -> None:
    result = _result(tuned_small=True)
    alone = SetResult(result.name, result.data, result.runs, result.k)
    assert size_metrics(alone, Sampling.of(config.evaluate, config.seed)) == ()
