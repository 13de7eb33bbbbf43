"""Measures what LLM calls need on a sample: the replies that are in the cache, or that are asked for now."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from embedtune.core.artifacts import read_manifest
from embedtune.core.config.config import Config
from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.core.progress import Progress
from embedtune.core.secrets import Secrets
from embedtune.generate.ask_llm import Writers, judging_requests, read_replies, write_questions
from embedtune.generate.prompts import prompts_of
from embedtune.generate.questions_to_ask import QuestionCall
from embedtune.generate.reply_source import REPLIES, judge_settings, require_reply_source
from embedtune.generate.requests import writing_request
from embedtune.llm.budget import Budget
from embedtune.llm.cache import CachedReply, ResponseCache
from embedtune.llm.client import LLMClient, LLMRequest, identity_of
from embedtune.llm.event_loop import run_to_end
from embedtune.llm.learned import Learned
from embedtune.llm.ledger import Ledger
from embedtune.llm.schema import Problem, read_as

CountTokens = Callable[[LLMRequest[BaseModel]], int]


@dataclass(frozen=True)
class MeasuredCalls:
    """What the sampled calls of one kind needed, repairs included.

    Attributes:
        replies: Number of replies in the sample.
        prompt_ratio: Prompt tokens that the LLM endpoint counted, per token that we count.
        completion_tokens: Mean number of completion tokens of a reply.
    """

    replies: int
    prompt_ratio: float
    completion_tokens: float


@dataclass(frozen=True)
class MeasuredSample:
    """What a sample of question calls needed; None where there is no reply.

    Attributes:
        writing: The calls that write questions.
        judging: The calls that judge them.
        judged_share: Share of the written replies that have questions left to judge.
    """

    writing: MeasuredCalls | None
    judging: MeasuredCalls | None
    judged_share: float


def measured_sample(
    calls: Sequence[QuestionCall], config: Config, stored: ResponseCache, count: CountTokens
) -> MeasuredSample:
    """Return what the calls needed whose replies are in the cache.

    Args:
        calls: Question calls of one kind.
        config: Generator and judge.
        stored: The replies so far.
        count: Counts the tokens of a request as the estimate does.
    """
    generator, judge = config.generate.llm, judge_settings(config.generate)
    prompts = prompts_of(config.generate)
    asked = [(call, _reply(stored, generator, writing_request(call, prompts))) for call in calls]
    known = [(call, reply) for call, reply in asked if reply is not None]
    written = read_replies(
        [call for call, _ in known], [reply for _, (_, reply) in known], (generator.model, judge.model)
    )
    requests = judging_requests([call for call, _ in known], written, prompts)
    judged = [(request, found) for request in requests if (found := _reply(stored, judge, request)) is not None]
    return MeasuredSample(
        writing=_measured([(writing_request(call, prompts), reply) for call, (reply, _) in known], count),
        judging=_measured([(request, reply) for request, (reply, _) in judged], count),
        judged_share=len(requests) / len(known) if known else 1.0,
    )


def ask_sample(
    calls: Sequence[QuestionCall], chunks: Path, config: Config, secrets: Secrets, cache: Path, progress: Progress
) -> None:
    """Have the questions of some calls written and judged; the replies are in the cache, for the run too.

    Args:
        calls: The question calls.
        chunks: The chunks artifact; what the calls cost is booked for it.
        config: Generator, judge and the ceiling on the cost.
        secrets: Their keys.
        cache: Cache directory of the run.
        progress: Updated once per call.

    Raises:
        LLMEndpointError: No LLM endpoint is configured, or it cannot be used.
        GateError: The cost ceiling is reached.
    """
    settings = config.generate
    require_reply_source(settings)
    scope = read_manifest(chunks, "chunks").fingerprint
    judge_key = secrets.llm_api_key if settings.judge is None else secrets.judge_api_key

    async def ask() -> None:
        with closing(Budget(settings.max_cost, Ledger(stored.path, scope))) as budget:
            learned = Learned()
            async with (
                LLMClient(_live(settings.llm), secrets.llm_api_key, stored, budget=budget) as generator,
                LLMClient(_live(judge_settings(settings)), judge_key, stored, budget=budget) as judge,
            ):
                writers = Writers(generator.share(learned), judge.share(learned), prompts_of(settings))
                await write_questions(calls, writers, 1.0, progress)

    with ResponseCache(cache / REPLIES) as stored:
        run_to_end(ask())


def _live(settings: LLMEndpointSettings) -> LLMEndpointSettings:
    return settings.model_copy(update={"batch": "none"})


def _reply(
    stored: ResponseCache, endpoint: LLMEndpointSettings, request: LLMRequest[BaseModel]
) -> tuple[CachedReply, BaseModel] | None:
    reply = stored.get(identity_of(endpoint, request))
    answer = read_as(request.schema, reply.text) if reply else None
    return None if reply is None or answer is None or isinstance(answer, Problem) else (reply, answer)


def _measured(
    found: Sequence[tuple[LLMRequest[BaseModel], CachedReply]], count: CountTokens
) -> MeasuredCalls | None:
    counted = sum(count(request) for request, _ in found)
    received = sum(reply.completion_tokens for _, reply in found)
    if not counted or not received:  # no reply, or a server that reports no tokens
        return None
    sent = sum(reply.prompt_tokens for _, reply in found)
    return MeasuredCalls(len(found), sent / counted, received / len(found))
