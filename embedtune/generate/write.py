"""The calls of the stage: questions are written sheet by sheet, then judged sheet by sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from embedtune.core.progress import Progress, Task
from embedtune.generate.asks import Written, judging_ask, read_written, writing_ask
from embedtune.generate.calls import Sheet
from embedtune.generate.filters import plain_sense
from embedtune.generate.records import Question, question_of
from embedtune.llm.client import Ask, LLMClient, request_of
from embedtune.llm.errors import ItemError
from embedtune.llm.gather import gather_asks


@dataclass(frozen=True)
class Writers:
    """Who writes and who judges.

    Attributes:
        generator: Writes.
        judge: Judges.
        unanswered: Keys of requests that got no usable reply when they were recorded; they fail again, unasked.
    """

    generator: LLMClient
    judge: LLMClient
    unanswered: frozenset[str] = frozenset()

    @property
    def models(self) -> tuple[str, str]:
        """Their names."""
        return self.generator.settings.model, self.judge.settings.model


async def write_questions(
    sheets: Sequence[Sheet], writers: Writers, max_failed_share: float, progress: Progress
) -> list[Question]:
    """Have the questions of all sheets written and judged.

    Args:
        sheets: What to ask.
        writers: Generator and judge.
        max_failed_share: Of failed calls; more stop the run.
        progress: Told of every call.

    Returns:
        All questions; those of failed calls are rejected with the error as the reason.
    """
    with progress.task("write questions", len(sheets), "sheets") as task:
        asks = [writing_ask(sheet) for sheet in sheets]
        replies = await _answers(writers.generator, asks, writers.unanswered, task, max_failed_share)
    written = read_replies(sheets, replies, writers.models)
    asks = judging_asks(sheets, written)
    with progress.task("judge questions", len(asks), "sheets") as task:
        verdicts = await _answers(writers.judge, asks, writers.unanswered, task, max_failed_share)
    return _with_verdicts(written, verdicts)


async def _answers(
    client: LLMClient, asks: Sequence[Ask[Any]], unanswered: frozenset[str], task: Task, max_failed_share: float
) -> list[Any]:
    """Return a reply or an error for each ask; those without a recorded reply are not asked."""
    lost = {place for place, ask in enumerate(asks) if request_of(client.settings, ask).key in unanswered}
    asked = [ask for place, ask in enumerate(asks) if place not in lost]
    replies = iter(await gather_asks(client, asked, task, max_failed_share))
    task.advance(len(lost))
    return [no_reply(ask) if place in lost else next(replies) for place, ask in enumerate(asks)]


def no_reply(ask: Ask[Any]) -> ItemError:
    """Return the error of an ask that has no reply in a recording."""
    return ItemError(ask.prompt, "not recorded", "it got no usable reply when it was recorded")


def read_replies(sheets: Sequence[Sheet], replies: Sequence[Any], models: tuple[str, str]) -> list[list[Question]]:
    """Return the questions of each sheet, senseless ones and those of failed calls rejected.

    Args:
        sheets: What was asked.
        replies: A reply or an error for each sheet.
        models: Names of generator and judge.
    """
    texts = {passage.chunk_id: passage.text for sheet in sheets for passage in sheet.passages}
    return [
        [plain_sense(question, texts) for question in _read(sheet, reply, models)]
        for sheet, reply in zip(sheets, replies, strict=True)
    ]


def judging_asks(sheets: Sequence[Sheet], written: Sequence[Sequence[Question]]) -> list[Ask[Any]]:
    """Return one call for each sheet that has a question left: what is rejected already is not judged."""
    left = [(sheet, _left(questions)) for sheet, questions in zip(sheets, written, strict=True)]
    return [
        judging_ask(sheet, [(q.question, q.answer) for q in questions]) for sheet, questions in left if questions
    ]


def _left(questions: Sequence[Question]) -> list[Question]:
    return [question for question in questions if not question.reason]


def _with_verdicts(written: Sequence[Sequence[Question]], verdicts: Sequence[Any]) -> list[Question]:
    """Return all questions, those that were judged with their scores; verdicts are those of `judging_asks`."""
    given = iter(verdicts)
    judged: list[Question] = []
    for questions in written:
        verdict = next(given) if _left(questions) else None
        scores = iter(()) if isinstance(verdict, ItemError) or verdict is None else iter(verdict.scores)
        for question in questions:
            if question.reason:
                judged.append(question)
            elif isinstance(verdict, ItemError):
                judged.append(question.rejected(f"failed: {verdict.kind}"))
            else:
                judged.append(question.judged(next(scores)))
    return judged


def _read(sheet: Sheet, reply: Any, models: tuple[str, str]) -> list[Question]:
    if isinstance(reply, ItemError):
        lost = Written("", "", ())
        places = range(len(sheet.slots))
        return [question_of(sheet, place, lost, models).rejected(f"failed: {reply.kind}") for place in places]
    questions: list[Question] = []
    seen: set[str] = set()
    for place, written in enumerate(read_written(sheet, reply)):
        question = question_of(sheet, place, written, models)
        # The same words twice on one sheet have one id.
        if question.question_id not in seen:
            questions.append(question)
        seen.add(question.question_id)
    return questions
