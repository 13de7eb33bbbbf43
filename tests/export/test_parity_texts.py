"""The compared texts: domain texts of every length, kind and dimension, in mixed order."""

from collections import Counter

import pytest

from embedtune.core.encoders.onnx import load_tokenizer
from embedtune.core.retrieval.beir import Record
from embedtune.export.parity_texts import Draw, draw_samples

PARTS = ["valve", "pump", "seal", "kiln", "drum"]
PASSAGES = [" ".join(PARTS[i % 5 :] * (1 + i % 4)) + f" {i}" for i in range(300)]
QUERIES = [f"when is pump {number} replaced" for number in range(200)]


def records(texts):
    return [Record(str(number), text) for number, text in enumerate(texts)]


@pytest.fixture
def draw(bert):
    return Draw(records(PASSAGES), records(QUERIES), load_tokenizer(bert.engine), bert.contract, seed=1)


def test_the_wanted_number_is_drawn_and_a_third_of_it_is_cut_to_length(draw):
    samples = draw_samples(draw, 96)
    assert len(samples) == 96
    whole = [sample for sample in samples if sample.text in {*PASSAGES, *QUERIES}]
    assert 64 <= len(whole) <= 68  # a cut text may happen to be a whole passage
    assert sum(sample.text in set(QUERIES) for sample in whole) == 32


def test_lengths_reach_from_one_token_to_the_maximum_and_beyond(draw, bert):
    tokenizer = load_tokenizer(bert.engine)
    tokenizer.no_truncation()
    own = [
        len(tokenizer.encode(sample.text, add_special_tokens=False).ids)
        for sample in draw_samples(draw, 96)
        if sample.text not in {*PASSAGES, *QUERIES}
    ]
    assert min(own) == 1
    assert max(own) == bert.contract.max_length + 8
    assert len(set(own)) >= 28  # evenly spread, hardly any length twice


def test_tokens_are_counted_as_the_encoder_reads_them(draw, bert):
    tokenizer = load_tokenizer(bert.engine)
    samples = draw_samples(draw, 96)
    prefixes = {"query": "query: ", "passage": "passage: "}
    for sample in samples:
        assert sample.tokens == len(tokenizer.encode(prefixes[sample.kind] + sample.text).ids)
    assert max(sample.tokens for sample in samples) == bert.contract.max_length


def test_batches_mix_kinds_dimensions_and_lengths(draw):
    samples = draw_samples(draw, 96)
    assert Counter(sample.dimension for sample in samples) == {32: 32, 16: 32, 8: 32}
    for start in range(0, 96, 16):
        batch = samples[start : start + 16]
        assert {sample.kind for sample in batch} == {"query", "passage"}
        assert {sample.dimension for sample in batch} == {32, 16, 8}
        assert max(sample.tokens for sample in batch) - min(sample.tokens for sample in batch) > 15


def test_the_same_seed_draws_the_same_texts(draw):
    assert draw_samples(draw, 48) == draw_samples(draw, 48)
    other = Draw(draw.corpus, draw.queries, draw.tokenizer, draw.contract, seed=2)
    assert draw_samples(other, 48) != draw_samples(draw, 48)


def test_a_dataset_with_few_texts_yields_more_cut_texts_instead(bert):
    few = Draw(records(PASSAGES[:2]), records(["oil"]), load_tokenizer(bert.engine), bert.contract, seed=1)
    samples = draw_samples(few, 60)
    assert len(samples) == 60
    assert len({sample.text for sample in samples}) > 40  # each cut text is different


def test_blank_texts_are_not_drawn(bert):
    blank = Draw(records(["  ", "valve"]), records([""]), load_tokenizer(bert.engine), bert.contract, seed=1)
    assert all(sample.text.strip() for sample in draw_samples(blank, 30))
