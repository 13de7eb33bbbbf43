"""The texts on which an engine is compared with PyTorch: the user's own, from one token to the maximum length."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from embedtune.core.contract import EncoderContract
from embedtune.core.retrieval.beir import Record

Kind = Literal["query", "passage"]
CUT_SHARE = 3  # a third of the texts are cut to lengths from one token to the maximum


@dataclass(frozen=True)
class Sample:
    """One text to compare.

    Args:
        kind: Determines the prefix.
        text: Without the prefix.
        tokens: How many tokens the encoder reads, prefix and special tokens included.
        dimension: Size of the vector to compare.
    """

    kind: Kind
    text: str
    tokens: int
    dimension: int

    def prefixed(self, contract: EncoderContract) -> str:
        """Return the text with its prefix, as it is tokenised."""
        return (contract.query_prefix if self.kind == "query" else contract.passage_prefix) + self.text


@dataclass(frozen=True)
class Draw:
    """The source of the samples.

    Args:
        corpus: Passages of the dataset.
        queries: Queries of the dataset.
        tokenizer: The engine's tokenizer.
        contract: Prefixes, maximum length and dimensions.
        seed: Determines which texts are drawn and in which order.
    """

    corpus: Sequence[Record]
    queries: Sequence[Record]
    tokenizer: Any
    contract: EncoderContract
    seed: int


def draw_samples(draw: Draw, count: int) -> list[Sample]:
    """Return at least `count` samples in an order that mixes lengths, kinds and dimensions.

    A third are passages cut to evenly spread lengths, from one token to beyond the maximum; the others are whole
    passages and queries. A small dataset yields fewer of those, and more cut texts take their place.

    Args:
        draw: The source to draw from.
        count: Number of samples.
    """
    rng = random.Random(draw.seed)
    cut = max(count // CUT_SHARE, 2)
    whole: list[tuple[Kind, str]] = []
    queries, passages = _texts(draw.queries), _texts(draw.corpus)
    half = (count - cut) // 2
    whole += [("query", text) for text in rng.sample(queries, min(half, len(queries)))]
    whole += [("passage", text) for text in rng.sample(passages, min(count - cut - half, len(passages)))]
    texts = whole + _cut_texts(draw, passages, count - len(whole), rng)
    rng.shuffle(texts)
    sizes = draw.contract.dimensions
    return [
        Sample(kind, text, _tokens(draw, kind, text), sizes[number % len(sizes)])
        for number, (kind, text) in enumerate(texts)
    ]


def _texts(records: Sequence[Record]) -> list[str]:
    return sorted({record.text for record in records if record.text.strip()})


def _cut_texts(draw: Draw, passages: Sequence[str], count: int, rng: random.Random) -> list[tuple[Kind, str]]:
    """Cut domain text to lengths evenly spread from 1 token to a few beyond the maximum."""
    longest = draw.contract.max_length + 8
    lengths = [1 + round(number * (longest - 1) / max(count - 1, 1)) for number in range(count)]
    kinds: tuple[Kind, Kind] = ("passage", "query")
    return [
        (kinds[number % 2], _cut(draw.tokenizer, passages, rng.randrange(len(passages)), length))
        for number, length in enumerate(lengths)
    ]


def _cut(tokenizer: Any, passages: Sequence[str], start: int, length: int) -> str:
    """Return the first `length` tokens of a passage; if it is too short, also of the passages after it."""
    text, number = "", start
    while True:
        text = f"{text} {passages[number % len(passages)]}".strip()
        offsets = _uncut(tokenizer, text)
        if len(offsets) >= length:
            return text[: offsets[length - 1][1]]
        number += 1


def _uncut(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """Return the position of each token in a text, without special tokens and truncation."""
    truncation = tokenizer.truncation
    tokenizer.no_truncation()
    encoding = tokenizer.encode(text, add_special_tokens=False)
    tokenizer.enable_truncation(**truncation)
    return list(encoding.offsets)


def _tokens(draw: Draw, kind: Kind, text: str) -> int:
    sample = Sample(kind, text, 0, 0)
    return len(draw.tokenizer.encode(sample.prefixed(draw.contract)).ids)
