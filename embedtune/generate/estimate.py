"""Estimates the cost of generate by counting the tokens of a sample of the real messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from embedtune.core.config.config import Config
from embedtune.core.config.generate import GenerateSettings, LLMEndpointSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.progress import SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.generate.ask_llm import judging_requests, read_replies
from embedtune.generate.bundles import starts_bundle
from embedtune.generate.masking import mask_calls
from embedtune.generate.passages import Passage, read_passages
from embedtune.generate.prompts import Prompts, prompts_of
from embedtune.generate.questions_to_ask import QuestionCall, chosen_passages, multi_hop_calls, single_hop_calls
from embedtune.generate.reply_source import REPLIES, judge_settings
from embedtune.generate.requests import judging_request, writing_request
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMRequest, identity_of, usd
from embedtune.llm.schema import Message, Problem, read_as

SAMPLED_CALLS = 50
# Reply tokens per question. Replies to the shipped prompts had about 115 tokens for three questions and 65 for
# their scores (docs/experiments.md), so these are on the safe side; the prompt limits a fact to 15 words.
WRITTEN_TOKENS = 55
FACT_TOKENS = 20
SCORE_TOKENS = 30


@dataclass(frozen=True)
class CallEstimate:
    """Calls and tokens that generate would need with an empty cache."""

    questions: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


def estimate_calls(chunks: Path, config: Config, secrets: Secrets, cache: Path) -> CallEstimate:
    """Build the messages of a sample of the calls, count their tokens with the base model's tokenizer, and scale.

    The tokenizer of the LLM is not known; those of common models differ by about 20%. Bundles are made of
    arbitrary passages here, since real neighbours need the base model's vectors.

    Args:
        chunks: The chunks artifact.
        config: Questions per chunk, bundles, prices.
        secrets: Credentials, for a base model in an object store.
        cache: Directory to keep a downloaded base model in.
    """
    from transformers import AutoTokenizer

    settings = config.generate
    path = resolve_base(config.contract, config.base, cache, config.storage, secrets)
    tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=config.contract.trust_remote_code)
    passages = chosen_passages(
        read_passages(chunks, config.contract, settings.context_words), settings, config.seed
    )
    single = single_hop_calls(passages, settings, config.seed)
    multi = multi_hop_calls(_arbitrary_bundles(passages, settings, config.seed), settings, config.seed)
    totals = [_Totals.of(calls, prompts_of(settings), tokenizer) for calls in (single, multi)]
    questions = len(single) * settings.questions_per_chunk + len(multi) * settings.questions_per_bundle
    judge = judge_settings(settings)
    write_in, judge_in = (sum(getattr(total, name) for total in totals) for name in ("write_in", "judge_in"))
    write_out = questions * WRITTEN_TOKENS + len(multi) * settings.questions_per_bundle * 2 * FACT_TOKENS
    judge_out = questions * SCORE_TOKENS
    cost = usd(settings.llm, write_in, write_out) + usd(judge, judge_in, judge_out)
    return CallEstimate(
        questions=questions,
        calls=2 * (len(single) + len(multi)),
        prompt_tokens=write_in + judge_in,
        completion_tokens=write_out + judge_out,
        cost_usd=cost,
    )


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


@dataclass(frozen=True)
class _Totals:
    write_in: int
    judge_in: int

    @classmethod
    def of(cls, calls: Sequence[QuestionCall], prompts: Prompts, tokenizer: object) -> "_Totals":
        """Count the tokens of a sample of the calls and scale them to all calls."""
        sample = calls[:: max(1, len(calls) // SAMPLED_CALLS)][:SAMPLED_CALLS]
        if not sample:
            return cls(0, 0)
        scale = len(calls) / len(sample)
        filler = "word " * (WRITTEN_TOKENS // 2)
        writing = [writing_request(call, prompts).messages for call in sample]
        pairs = [(filler, filler)]
        judging = [judging_request(call, pairs * len(call.slots), prompts).messages for call in sample]
        return cls(*(round(scale * _count(messages, tokenizer)) for messages in (writing, judging)))


def _count(chats: Sequence[Sequence[Message]], tokenizer: object) -> int:
    texts = [message["content"] for chat in chats for message in chat]
    encoded = tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)  # type: ignore[operator]
    return sum(len(ids) for ids in encoded["input_ids"])


def _arbitrary_bundles(
    passages: Sequence[Passage], settings: GenerateSettings, seed: int
) -> list[tuple[Passage, ...]]:
    if settings.max_hops == 1:
        return []
    first = [passage for passage in passages if starts_bundle(passage, settings, seed)]
    return [(passage, passages[(number * 7 + 1) % len(passages)]) for number, passage in enumerate(first)]
