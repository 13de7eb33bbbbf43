"""The calls of the stage: questions are written sheet by sheet, then judged sheet by sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from embedtune.core.llm import ItemError, LLMClient, gather_asks
from embedtune.core.progress import Progress
from embedtune.generate.asks import Written, judging_ask, read_written, writing_ask
from embedtune.generate.filters import plain_sense
from embedtune.generate.plan import Sheet
from embedtune.generate.records import Question, question_of


@dataclass(frozen=True)
class Writers:
    """Who writes and who judges."""

    generator: LLMClient
    judge: LLMClient

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
        replies = await gather_asks(writers.generator, [writing_ask(s) for s in sheets], task, max_failed_share)
    texts = {passage.chunk_id: passage.text for sheet in sheets for passage in sheet.passages}
    written = [
        [plain_sense(question, texts) for question in _read(sheet, reply, writers.models)]
        for sheet, reply in zip(sheets, replies, strict=True)
    ]
    open_sheets = [
        (number, [q for q in questions if not q.reason])
        for number, questions in enumerate(written)
        if any(not q.reason for q in questions)
    ]
    asks = [judging_ask(sheets[number], [(q.question, q.answer) for q in qs]) for number, qs in open_sheets]
    with progress.task("judge questions", len(asks), "sheets") as task:
        verdicts = await gather_asks(writers.judge, asks, task, max_failed_share)
    judged: dict[str, Question] = {}
    for (_, questions), verdict in zip(open_sheets, verdicts, strict=True):
        for place, question in enumerate(questions):
            if isinstance(verdict, ItemError):
                judged[question.question_id] = question.rejected(f"failed: {verdict.kind}")
            else:
                judged[question.question_id] = question.judged(verdict.scores[place])
    flat = [question for questions in written for question in questions]
    return [judged.get(question.question_id, question) for question in flat]


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
