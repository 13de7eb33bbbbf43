"""The texts on which an engine is compared with PyTorch: the user's own, from one token to the maximum."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from embedtune.core.contract import EncoderContract
from embedtune.core.retrieval.beir import Record

Kind = Literal["query", "passage"]
LADDER_SHARE = 3  # a third of the texts are cut to lengths from one token to the maximum


@dataclass(frozen=True)
class Sample:
    """One text to compare.

    Args:
        kind: Decides on the prefix.
        text: Without the prefix.
        tokens: What the encoder reads of it, prefix and special tokens included.
        dimension: How many dimensions are asked for.
    """

    kind: Kind
    text: str
    tokens: int
    dimension: int

    def prefixed(self, contract: EncoderContract) -> str:
        """Return what is tokenized."""
        return (contract.query_prefix if self.kind == "query" else contract.passage_prefix) + self.text


@dataclass(frozen=True)
class Draw:
    """What samples are drawn from.

    Args:
        corpus: Passages of the dataset.
        queries: Queries of the dataset.
        tokenizer: The engine's.
        contract: Prefixes, maximum length and dimensions.
        seed: Orders what is drawn.
    """

    corpus: Sequence[Record]
    queries: Sequence[Record]
    tokenizer: Any
    contract: EncoderContract
    seed: int


def draw_samples(draw: Draw, count: int) -> list[Sample]:
    """Return at least `count` samples in an order that mixes lengths, kinds and dimensions.

    A third are passages cut to a ladder of lengths, from one token to beyond the maximum; the others are whole
    passages and queries. A small dataset gives more of the ladder, each rung from another place.

    Args:
        draw: What to draw from.
        count: Samples wanted.
    """
    source = random.Random(draw.seed)
    rungs = max(count // LADDER_SHARE, 2)
    whole: list[tuple[Kind, str]] = []
    queries, passages = _texts(draw.queries), _texts(draw.corpus)
    half = (count - rungs) // 2
    whole += [("query", text) for text in source.sample(queries, min(half, len(queries)))]
    whole += [("passage", text) for text in source.sample(passages, min(count - rungs - half, len(passages)))]
    texts = whole + _ladder(draw, passages, count - len(whole), source)
    source.shuffle(texts)
    sizes = draw.contract.dimensions
    return [
        Sample(kind, text, _tokens(draw, kind, text), sizes[number % len(sizes)])
        for number, (kind, text) in enumerate(texts)
    ]


def _texts(records: Sequence[Record]) -> list[str]:
    return sorted({record.text for record in records if record.text.strip()})


def _ladder(draw: Draw, passages: Sequence[str], rungs: int, source: random.Random) -> list[tuple[Kind, str]]:
    """Cut domain text to lengths evenly spread from 1 token to a few beyond the maximum."""
    longest = draw.contract.max_length + 8
    lengths = [1 + round(rung * (longest - 1) / max(rungs - 1, 1)) for rung in range(rungs)]
    kinds: tuple[Kind, Kind] = ("passage", "query")
    return [
        (kinds[rung % 2], _cut(draw.tokenizer, passages, source.randrange(len(passages)), length))
        for rung, length in enumerate(lengths)
    ]


def _cut(tokenizer: Any, passages: Sequence[str], start: int, length: int) -> str:
    """Return the first `length` tokens of a passage; where it is too short, of it and those that follow."""
    text, number = "", start
    while True:
        text = f"{text} {passages[number % len(passages)]}".strip()
        offsets = _uncut(tokenizer, text)
        if len(offsets) >= length:
            return text[: offsets[length - 1][1]]
        number += 1


def _uncut(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """Return where each token of a text stands, special tokens and truncation aside."""
    truncation = tokenizer.truncation
    tokenizer.no_truncation()
    encoding = tokenizer.encode(text, add_special_tokens=False)
    tokenizer.enable_truncation(**truncation)
    return list(encoding.offsets)


def _tokens(draw: Draw, kind: Kind, text: str) -> int:
    sample = Sample(kind, text, 0, 0)
    return len(draw.tokenizer.encode(sample.prefixed(draw.contract)).ids)
