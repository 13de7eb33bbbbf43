"""What the calls of generate would cost: the real messages, counted with a tokenizer on a sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from embedtune.core.config.config import Config
from embedtune.core.config.generate import EndpointSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.secrets import Secrets
from embedtune.generate.asks import judging_ask, writing_ask
from embedtune.generate.calls import Sheet, chosen_passages, draw, plan_multi, plan_single
from embedtune.generate.passages import Passage, read_passages
from embedtune.generate.recording import REPLIES, judge_settings
from embedtune.generate.write import judging_asks, read_replies
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import Ask, request_of
from embedtune.llm.schema import Problem, read_as

SAMPLE_SHEETS = 50
# Tokens of a reply for one question. Replies to the shipped prompts had about 115 for three questions and 65 for
# their scores (docs/experiments.md), so these are on the safe side; a fact is bounded to 15 words by its prompt.
WRITTEN_TOKENS = 55
FACT_TOKENS = 20
SCORE_TOKENS = 30


@dataclass(frozen=True)
class CallEstimate:
    """Calls and tokens that generate would need without a cache."""

    questions: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


def estimate_calls(chunks: Path, config: Config, secrets: Secrets, cache: Path) -> CallEstimate:
    """Build the messages of a sample of sheets, count their tokens with the base model's tokenizer, and scale.

    The endpoint's own tokenizer is not known; those of common models differ by some 20 %. Bundles are made of
    passages at random here, since their real neighbours need the base model's vectors.

    Args:
        chunks: The chunks artifact.
        config: Questions a chunk, bundles, prices.
        secrets: For a base model in an object store.
        cache: Where a downloaded base model is kept.
    """
    from transformers import AutoTokenizer

    settings = config.generate
    path = resolve_base(config.contract, cache, config.storage, secrets)
    tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=config.contract.trust_remote_code)
    passages = chosen_passages(read_passages(chunks, config.contract), settings, config.seed)
    single = plan_single(passages, settings, config.seed)
    multi = plan_multi(_random_bundles(passages, config), settings, config.seed)
    totals = [_Totals.of(sheets, tokenizer) for sheets in (single, multi)]
    questions = len(single) * settings.questions_per_chunk + len(multi) * settings.questions_per_bundle
    judge = judge_settings(settings)
    write_in, judge_in = (sum(getattr(total, name) for total in totals) for name in ("write_in", "judge_in"))
    write_out = questions * WRITTEN_TOKENS + len(multi) * settings.questions_per_bundle * 2 * FACT_TOKENS
    judge_out = questions * SCORE_TOKENS
    cost = write_in * settings.llm.price_in + write_out * settings.llm.price_out
    cost += judge_in * judge.price_in + judge_out * judge.price_out
    return CallEstimate(
        questions=questions,
        calls=2 * (len(single) + len(multi)),
        prompt_tokens=write_in + judge_in,
        completion_tokens=write_out + judge_out,
        cost_usd=cost / 1e6,
    )


def unpaid_share(chunks: Path, config: Config, cache: Path) -> float:
    """Return the share of the calls that no earlier run has paid; 0 if a recording is replayed.

    Counted are the calls about single passages; those about bundles, which need vectors, are taken to be alike.

    Args:
        chunks: The chunks artifact.
        config: The whole configuration.
        cache: Cache directory of the run.
    """
    settings = config.generate
    path = cache / REPLIES
    if settings.recording is not None:
        return 0.0
    if not path.is_file():
        return 1.0
    passages = chosen_passages(read_passages(chunks, config.contract), settings, config.seed)
    sheets = plan_single(passages, settings, config.seed)
    judge = judge_settings(settings)
    with ResponseCache(path) as kept:
        replies = [_kept(kept, settings.llm, writing_ask(sheet)) for sheet in sheets]
        written = [sheet for sheet, reply in zip(sheets, replies, strict=True) if reply is not None]
        found = [reply for reply in replies if reply is not None]
        asks = judging_asks(written, read_replies(written, found, (settings.llm.model, judge.model)))
        unjudged = sum(_kept(kept, judge, ask) is None for ask in asks)
    unwritten = len(sheets) - len(written)  # each of them will be judged too
    return (2 * unwritten + unjudged) / (2 * len(sheets)) if sheets else 0.0


def _kept(cache: ResponseCache, endpoint: EndpointSettings, ask: Ask[Any]) -> BaseModel | None:
    stored = cache.get(request_of(endpoint, ask).key)
    reply = read_as(ask.schema, stored.text) if stored else None
    return None if isinstance(reply, Problem) else reply


@dataclass(frozen=True)
class _Totals:
    write_in: int
    judge_in: int

    @classmethod
    def of(cls, sheets: Sequence[Sheet], tokenizer: object) -> "_Totals":
        """Count a sample of sheets and scale to all of them."""
        sample = sheets[:: max(1, len(sheets) // SAMPLE_SHEETS)][:SAMPLE_SHEETS]
        if not sample:
            return cls(0, 0)
        scale = len(sheets) / len(sample)
        filler = "word " * (WRITTEN_TOKENS // 2)
        asks = [writing_ask(sheet).messages for sheet in sample]
        judged = [judging_ask(sheet, [(filler, filler)] * len(sheet.slots)).messages for sheet in sample]
        return cls(*(round(scale * _count(messages, tokenizer)) for messages in (asks, judged)))


def _count(chats: Sequence[Sequence[Mapping[str, str]]], tokenizer: object) -> int:
    texts = [message["content"] for chat in chats for message in chat]
    encoded = tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)  # type: ignore[operator]
    return sum(len(ids) for ids in encoded["input_ids"])


def _random_bundles(passages: Sequence[Passage], config: Config) -> list[tuple[Passage, ...]]:
    settings = config.generate
    if settings.max_hops == 1:
        return []
    heads = [p for p in passages if draw(config.seed, "bundle", p.chunk_id) < settings.bundles_per_chunk]
    return [(head, passages[(number * 7 + 1) % len(passages)]) for number, head in enumerate(heads)]
