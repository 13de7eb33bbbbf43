"""Checkpoints are ranked on dev positives, the base's nearest and a sample; models on the whole corpus."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.retrieval.beir import Record, write_qrels, write_records
from embedtune.train.dev import DevSet
from embedtune.train.dev_pool import choose_pool, nearest_depth
from tests.support.tiny_model import tiny_contract
from tests.support.word_encoder import WordEncoder

WORDS = "pump valve hoist kiln drum chain"


@pytest.mark.parametrize(
    ("size", "questions", "depth"),
    [(50_000, 100, 100), (50_000, 1000, 25), (50_000, 100_000, 10), (40, 1, 20), (5, 0, 10)],
)
def test_the_nearest_take_half_of_the_pool_but_never_less_than_the_metric_needs(size, questions, depth):
    assert nearest_depth(size, questions) == depth


@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 3))
def test_positives_and_nearest_are_in_the_pool_and_a_sample_fills_it_up(corpus, size, seed):
    rng = np.random.default_rng(seed)
    positives, nearest = [int(rng.integers(corpus))], rng.integers(0, corpus, (2, 3))
    pool = choose_pool(corpus, size, positives, nearest, seed)
    needed = {*positives, *nearest.ravel().tolist()}
    assert needed <= set(pool.tolist())
    assert len(pool) == max(len(needed), min(size, corpus))
    assert (np.diff(pool) > 0).all()
    np.testing.assert_array_equal(pool, choose_pool(corpus, size, positives, nearest, seed))


@pytest.fixture
def dev(tmp_path):
    """One question, "pump": d is its passage; a and b are equally good; c, e and f share no word with it."""
    texts = {"a": "pump", "b": "pump", "c": "kiln", "d": "pump valve", "e": "drum", "f": "chain"}
    write_records(tmp_path / "corpus.jsonl", [Record(name, text) for name, text in texts.items()])
    write_records(tmp_path / "queries.jsonl", [Record("q", "pump")])
    write_qrels(tmp_path / "qrels" / "dev.tsv", {"q": {"d": 1}})
    return DevSet(tmp_path, tiny_contract(tmp_path, (6,)), RuntimeSettings(device="cpu"))


def test_a_small_corpus_is_used_whole(dev, progress):
    encoder = WordEncoder(WORDS)
    dev.narrow(encoder, 6, 1, progress)
    assert dev.pool is None
    assert dev.measure_checkpoint(encoder, progress) == dev.measure(encoder, progress)[6]


def test_a_pool_ranks_checkpoints_but_models_are_measured_on_everything(dev, progress, monkeypatch):
    monkeypatch.setattr("embedtune.train.dev_pool.FEWEST", 1)
    encoder = WordEncoder(WORDS)
    dev.narrow(encoder, 2, 1, progress)
    assert dev.pool == 2  # d, which answers the question, and a, the nearest
    # d is behind a: 1 / log2(3). On the whole corpus it is behind a and b: 1 / log2(4).
    assert dev.measure_checkpoint(encoder, progress) == pytest.approx(1 / np.log2(3))
    assert dev.measure(encoder, progress) == {6: pytest.approx(0.5)}


def test_blocks_do_not_change_the_result(dev, progress, monkeypatch):
    whole = dev.measure(WordEncoder(WORDS), progress)
    monkeypatch.setattr("embedtune.train.dev.PASSAGES_AT_ONCE", 2)
    assert dev.measure(WordEncoder(WORDS), progress) == whole
