"""Estimates the cost of generate by counting the tokens of a sample of the real messages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from embedtune.core.config.config import Config
from embedtune.core.config.generate import GenerateSettings, LLMEndpointSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.progress import Progress, SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.generate.ask_llm import judging_requests, read_replies
from embedtune.generate.bundle_file import bundle_file, read_bundles
from embedtune.generate.bundles import known_bundles, starts_bundle
from embedtune.generate.masking import mask_calls
from embedtune.generate.passages import Passage, read_passages, require_evaluable
from embedtune.generate.prompts import Prompts, prompts_of
from embedtune.generate.questions_to_ask import QuestionCall, chosen_passages, multi_hop_calls, single_hop_calls
from embedtune.generate.reply_sample import (
    CountTokens,
    MeasuredCalls,
    MeasuredSample,
    ask_sample,
    measured_sample,
)
from embedtune.generate.reply_source import REPLIES, judge_settings
from embedtune.generate.requests import judging_request, writing_request
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMRequest, identity_of
from embedtune.llm.prices import batch_share, usd
from embedtune.llm.schema import Problem, read_as

SAMPLED_CALLS = 50
# Reply tokens per question. Replies to the shipped prompts had about 115 tokens for three questions and 65 for
# their scores (docs/experiments.md), so these are on the safe side; the prompt limits a fact to 15 words.
WRITTEN_TOKENS = 55
FACT_TOKENS = 20
SCORE_TOKENS = 30


@dataclass(frozen=True)
class CallEstimate:
    """Calls and tokens that generate would need with an empty cache.

    Attributes:
        questions: Number of questions that are written.
        calls: Number of requests; repairs are not counted, their tokens are.
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens received.
        cost_usd: Price of the tokens, in batches if calls are sent in batches.
        measured: Number of replies that lengths and tokens were measured on; 0: they are assumed.
    """

    questions: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    measured: int


def estimate_calls(
    chunks: Path,
    config: Config,
    secrets: Secrets,
    cache: Path,
    sample: int = 0,
    progress: Progress | None = None,
) -> CallEstimate:
    """Build the messages of a sample of the calls, count their tokens with the base model's tokenizer, and scale.

    What the LLM's tokenizer makes of them, how long its replies are, and how many of them are judged is measured
    on the replies in the cache, if there are any of the sampled calls; otherwise it is assumed. The tokenizers of
    common models differ by about 20%. Bundles that are not known yet are made of arbitrary passages, since real
    neighbours need the base model's vectors.

    Args:
        chunks: The chunks artifact.
        config: Questions per chunk, bundles, prices.
        secrets: Credentials, for a base model in an object store and for the LLM endpoints.
        cache: Cache directory of the run.
        sample: Number of calls to send now, so that there are replies to measure.
        progress: Updated once per call that is sent.

    Raises:
        GateError: There are too few passages for generate to start.
    """
    settings = config.generate
    count = _counter(config, secrets, cache)
    prompts = prompts_of(settings)
    found = read_passages(chunks, config.contract, settings.context_words)
    require_evaluable(found, config.ingest)
    passages = chosen_passages(found, settings, config.seed)
    known = known_bundles(read_bundles(bundle_file(config, cache)), passages)
    bundles = known or _arbitrary_bundles(passages, settings, config.seed)
    single = single_hop_calls(passages, settings, config.seed)
    multi = multi_hop_calls(bundles, settings, config.seed)
    sampled = [_spread(calls) for calls in (single, multi)]
    if settings.mask is not None:
        sampled = [mask_calls(calls, settings.mask, SilentProgress()).calls for calls in sampled]
    if sample:
        share = len(multi) / max(1, len(single) + len(multi))
        shares = (math.ceil(sample * (1 - share)), round(sample * share))
        asked = [call for calls, n in zip(sampled, shares, strict=True) for call in _spread(calls, n)]
        ask_sample(asked, chunks, config, secrets, cache, progress or SilentProgress())
    with ResponseCache(cache / REPLIES) as stored:
        kinds = [
            _Kind.of(calls, len(every), prompts, measured_sample(calls, config, stored, count), count)
            for calls, every in zip(sampled, (single, multi), strict=True)
        ]
    return _summed(kinds, settings, sum(len(call.slots) for call in (*single, *multi)))


@dataclass(frozen=True)
class _Kind:
    """The tokens and calls of one kind of question calls: about passages or about bundles."""

    write_in: float
    write_out: float
    judge_in: float
    judge_out: float
    calls: float
    measured: int

    @classmethod
    def of(
        cls,
        sample: Sequence[QuestionCall],
        total: int,
        prompts: Prompts,
        measured: MeasuredSample,
        count: CountTokens,
    ) -> "_Kind":
        """Scale a sample to all calls of its kind."""
        if not sample:
            return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0)
        slots, facts = len(sample[0].slots), len(sample[0].passages) if len(sample[0].passages) > 1 else 0
        assumed = WRITTEN_TOKENS * slots + FACT_TOKENS * facts * slots
        writing = measured.writing or MeasuredCalls(0, 1.0, assumed)
        judging = measured.judging or MeasuredCalls(0, writing.prompt_ratio, SCORE_TOKENS * slots)
        filler = "word " * (WRITTEN_TOKENS // 2)
        scale = total / len(sample)
        pairs = [(filler, filler)]
        written = sum(count(writing_request(call, prompts)) for call in sample)
        judged = sum(count(judging_request(call, pairs * len(call.slots), prompts)) for call in sample)
        judgements = total * measured.judged_share
        return cls(
            write_in=scale * written * writing.prompt_ratio,
            write_out=total * writing.completion_tokens,
            judge_in=scale * judged * judging.prompt_ratio * measured.judged_share,
            judge_out=judgements * judging.completion_tokens,
            calls=total + judgements,
            measured=writing.replies + judging.replies,
        )


def _summed(kinds: Sequence[_Kind], settings: GenerateSettings, questions: int) -> CallEstimate:
    write_in, write_out, judge_in, judge_out, calls = (
        round(sum(getattr(kind, name) for kind in kinds))
        for name in ("write_in", "write_out", "judge_in", "judge_out", "calls")
    )
    judge = judge_settings(settings)
    cost = batch_share(settings.llm) * usd(settings.llm, write_in, write_out)
    cost += batch_share(judge) * usd(judge, judge_in, judge_out)
    measured = sum(kind.measured for kind in kinds)
    return CallEstimate(questions, calls, write_in + judge_in, write_out + judge_out, cost, measured)


def unpaid_share(chunks: Path, config: Config, cache: Path) -> float:
    """Return the share of the calls that no earlier run has paid for; 0 if a recording is replayed.

    Only calls about single passages are counted. Those about bundles would need vectors, and are assumed to have
    the same share.

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
    passages = chosen_passages(
        read_passages(chunks, config.contract, settings.context_words), settings, config.seed
    )
    calls = mask_calls(single_hop_calls(passages, settings, config.seed), settings.mask, SilentProgress()).calls
    judge, prompts = judge_settings(settings), prompts_of(settings)
    with ResponseCache(path) as stored:
        replies = [_stored_reply(stored, settings.llm, writing_request(call, prompts)) for call in calls]
        written = [call for call, reply in zip(calls, replies, strict=True) if reply is not None]
        found = [reply for reply in replies if reply is not None]
        questions = read_replies(written, found, (settings.llm.model, judge.model))
        requests = judging_requests(written, questions, prompts)
        unjudged = sum(_stored_reply(stored, judge, request) is None for request in requests)
    unwritten = len(calls) - len(written)  # each of them will be judged too
    return (2 * unwritten + unjudged) / (2 * len(calls)) if calls else 0.0


def _stored_reply(
    cache: ResponseCache, endpoint: LLMEndpointSettings, request: LLMRequest[BaseModel]
) -> BaseModel | None:
    stored = cache.get(identity_of(endpoint, request))
    reply = read_as(request.schema, stored.text) if stored else None
    return None if isinstance(reply, Problem) else reply


def _spread(calls: Sequence[QuestionCall], number: int = SAMPLED_CALLS) -> Sequence[QuestionCall]:
    """Return some of the calls, evenly spread."""
    return calls[:: max(1, len(calls) // max(number, 1))][:number]


def _counter(config: Config, secrets: Secrets, cache: Path) -> CountTokens:
    """Return a function that counts the tokens of a request with the base model's tokenizer."""
    from transformers import AutoTokenizer

    path = resolve_base(config.contract, config.base, cache, config.storage, secrets)
    tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=config.contract.trust_remote_code)

    def count(request: LLMRequest[BaseModel]) -> int:
        texts = [message["content"] for message in request.messages]
        encoded = tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)
        return sum(len(ids) for ids in encoded["input_ids"])

    return count


def _arbitrary_bundles(
    passages: Sequence[Passage], settings: GenerateSettings, seed: int
) -> list[tuple[Passage, ...]]:
    if settings.max_hops == 1:
        return []
    first = [passage for passage in passages if starts_bundle(passage, settings, seed)]
    return [(passage, passages[(number * 7 + 1) % len(passages)]) for number, passage in enumerate(first)]
