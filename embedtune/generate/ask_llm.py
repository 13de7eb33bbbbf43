"""The LLM calls of the stage: questions are written call by call, then judged call by call."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from embedtune.core.placeholders import names_unknown, restore
from embedtune.core.progress import Progress, Task
from embedtune.core.records.rejections import Rejection, failed_call
from embedtune.generate.filters import plain_sense
from embedtune.generate.prompts import Prompts
from embedtune.generate.questions import Question, question_of
from embedtune.generate.questions_to_ask import QuestionCall
from embedtune.generate.requests import (
    WrittenQuestion,
    judging_request,
    read_scores,
    read_written,
    writing_request,
)
from embedtune.llm.client import LLMClient, LLMRequest, identity_of
from embedtune.llm.errors import ItemError
from embedtune.llm.gather import gather_replies

Reply = BaseModel | ItemError


@dataclass(frozen=True)
class Writers:
    """The two LLMs of the stage.

    Attributes:
        generator: Writes the questions.
        judge: Judges them.
        prompts: The prompts of the run.
        unanswered: Keys of requests that got no usable reply when they were recorded. They are not sent and
            count as failed.
    """

    generator: LLMClient
    judge: LLMClient
    prompts: Prompts
    unanswered: frozenset[str] = frozenset()

    @property
    def models(self) -> tuple[str, str]:
        """Names of generator and judge."""
        return self.generator.settings.model, self.judge.settings.model


async def write_questions(
    calls: Sequence[QuestionCall], writers: Writers, max_failed_share: float, progress: Progress
) -> list[Question]:
    """Have the questions of all calls written and judged.

    Args:
        calls: The question calls.
        writers: Generator and judge.
        max_failed_share: Share of failed LLM calls above which the run stops.
        progress: Updated once per LLM call.

    Returns:
        All questions; those of failed calls are rejected with the error as the reason.
    """
    with progress.task("write questions", len(calls), "calls") as task:
        requests = [writing_request(call, writers.prompts) for call in calls]
        replies = await _replies(writers.generator, requests, writers.unanswered, task, max_failed_share)
    written = read_replies(calls, replies, writers.models)
    requests = judging_requests(calls, written, writers.prompts)
    with progress.task("judge questions", len(requests), "calls") as task:
        judgements = await _replies(writers.judge, requests, writers.unanswered, task, max_failed_share)
    return _with_scores(written, judgements)


async def _replies(
    client: LLMClient,
    requests: Sequence[LLMRequest[BaseModel]],
    unanswered: frozenset[str],
    task: Task,
    max_failed_share: float,
) -> list[Reply]:
    """Return a reply or an error for each request; those without a recorded reply are not sent."""
    lost = {
        place for place, request in enumerate(requests) if identity_of(client.settings, request).is_in(unanswered)
    }
    sent = [request for place, request in enumerate(requests) if place not in lost]
    replies = iter(await gather_replies(client, sent, task, max_failed_share))
    task.skip(len(lost))
    return [no_reply(request) if place in lost else next(replies) for place, request in enumerate(requests)]


def no_reply(request: LLMRequest[BaseModel]) -> ItemError:
    """Return the error of a request that has no reply in a recording."""
    return ItemError(request.prompt, "not recorded", "it got no usable reply when it was recorded")


def read_replies(
    calls: Sequence[QuestionCall], replies: Sequence[Reply], models: tuple[str, str]
) -> list[list[Question]]:
    """Return the questions of each call; nonsensical ones and those of failed calls are rejected.

    Args:
        calls: The question calls.
        replies: A reply or an error for each call.
        models: Names of generator and judge.
    """
    texts = {passage.chunk_id: restore(passage.text, call.hidden) for call in calls for passage in call.passages}
    return [
        [plain_sense(question, texts) for question in _read(call, reply, models)]
        for call, reply in zip(calls, replies, strict=True)
    ]


def judging_requests(
    calls: Sequence[QuestionCall], written: Sequence[Sequence[Question]], prompts: Prompts
) -> list[LLMRequest[BaseModel]]:
    """Return one request for each call that has questions left: rejected questions are not judged."""
    left = [(call, _left(questions)) for call, questions in zip(calls, written, strict=True)]
    return [
        judging_request(call, [(q.question, q.answer) for q in questions], prompts)
        for call, questions in left
        if questions
    ]


def _left(questions: Sequence[Question]) -> list[Question]:
    return [question for question in questions if not question.reason]


def _with_scores(written: Sequence[Sequence[Question]], judgements: Sequence[Reply]) -> list[Question]:
    """Return all questions, those that were judged with their scores; judgements answer `judging_requests`."""
    remaining = iter(judgements)
    judged: list[Question] = []
    for questions in written:
        judgement = next(remaining) if _left(questions) else None
        if isinstance(judgement, ItemError):
            judged += [question.rejected(failed_call(judgement.kind)) for question in questions]
            continue
        scores = iter(read_scores(judgement) if judgement is not None else [])
        judged += [question if question.reason else question.judged(next(scores)) for question in questions]
    return judged


def _read(call: QuestionCall, reply: Reply, models: tuple[str, str]) -> list[Question]:
    if isinstance(reply, ItemError):
        lost, reason = WrittenQuestion("", "", ()), failed_call(reply.kind)
        return [question_of(call, place, lost, models).rejected(reason) for place in range(len(call.slots))]
    questions: list[Question] = []
    seen: set[str] = set()
    for place, written in enumerate(read_written(call, reply)):
        if written is None:
            nothing = question_of(call, place, WrittenQuestion("", "", ()), models)
            questions.append(nothing.rejected(Rejection.NOTHING_TO_ASK))
            continue
        question = question_of(call, place, written, models)
        if names_unknown(f"{question.question} {question.answer}", call.hidden):
            question = question.rejected(Rejection.PLACEHOLDER)
        # The same words twice in one call have the same id.
        if question.question_id not in seen:
            questions.append(question)
        seen.add(question.question_id)
    return questions
