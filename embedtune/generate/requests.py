"""The LLM requests of a question call, and the questions and scores read from the replies."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from embedtune.core.config.generate import PromptName
from embedtune.core.placeholders import hide, restore
from embedtune.generate.prompts import Prompts, fence
from embedtune.generate.question_slots import question_slot_text
from embedtune.generate.questions_to_ask import QuestionCall
from embedtune.llm.client import LLMRequest

Score = Annotated[int, Field(ge=1, le=10)]
ASPECTS = ("relevance", "accuracy", "clarity", "context_support")
STRICT = ConfigDict(extra="forbid")


# Frozen: names, docstrings and fields are in the JSON schema, and so in the cache key of every judging request.
class Scores(BaseModel):
    """What the judge gives one question."""

    model_config = STRICT
    relevance: Score
    accuracy: Score
    clarity: Score
    context_support: Score


@dataclass(frozen=True)
class Judgement:
    """The judge's four scores, and which passages of a bundle (from 1) the question needs; None if not asked."""

    scores: tuple[int, ...]
    needed: frozenset[int] | None = None


@dataclass(frozen=True)
class WrittenQuestion:
    """One question as the LLM wrote it; for a bundle, `facts` has one fact per passage."""

    question: str
    answer: str
    facts: tuple[str, ...]


def writing_request(call: QuestionCall, prompts: Prompts) -> LLMRequest[BaseModel]:
    """Return the request that has the questions of a call written."""
    hops = len(call.passages)
    name: PromptName = "generate_multi" if hops > 1 else "generate_single"
    values = {
        "passages": fence([passage.shown for passage in call.passages]),
        "queries": prompts.queries_for(call.key),
        "slots": "\n".join(question_slot_text(place, slot) for place, slot in enumerate(call.slots, 1)),
    }
    styles = tuple(slot.style for slot in call.slots)
    schema = _searches(styles, hops if hops > 1 else 0, prompts.mentions(name, "null"))
    return LLMRequest(name, prompts.messages(name, values), schema, call.documents)


def read_written(call: QuestionCall, reply: BaseModel) -> list[WrittenQuestion | None]:
    """Return the questions in a reply to `writing_request`, in the order of the question slots.

    It is None where the LLM found nothing (more) worth asking.
    """
    found: list[WrittenQuestion | None] = []
    for place, slot in enumerate(call.slots, 1):
        written = getattr(reply, f"search_{place}")
        if written is None:
            found.append(None)
            continue
        search = written.model_dump()
        facts = tuple(value for key, value in search.items() if key.startswith("fact_"))
        parts = (search[slot.style], search["answer"], *facts)
        question, answer, *known = (restore(part, call.hidden) for part in parts)
        found.append(WrittenQuestion(question, answer, tuple(known)))
    return found


@cache
def _searches(styles: tuple[str, ...], facts: int, nullable: bool) -> type[BaseModel]:
    """Return the model of a reply: the facts, the answer, then the search under the name of its style; or null.

    A small LLM that must write the answer before the question asks about one fact, and a field called `symptom`
    keeps it from writing a full question.
    """
    # Any: pydantic's create_model takes field definitions of any type.
    searches: dict[str, Any] = {}
    for place, style in enumerate(styles, 1):
        names = [*(f"fact_{number}" for number in range(1, facts + 1)), "answer", style]
        fields: dict[str, Any] = dict.fromkeys(names, (str, ...))
        search: Any = create_model(f"Search{place}", __config__=STRICT, **fields)
        searches[f"search_{place}"] = (search | None if nullable else search, ...)
    model: type[BaseModel] = create_model("Searches", __config__=STRICT, **searches)
    return model


def judging_request(
    call: QuestionCall, pairs: Sequence[tuple[str, str]], prompts: Prompts
) -> LLMRequest[BaseModel]:
    """Return the request that has the questions of a call judged together.

    Args:
        call: The call; its passages are shown to the judge.
        pairs: Question and answer of each question.
        prompts: The prompts of the run.
    """
    searches = "\n".join(
        hide(f"{place}. {question}\nAnswer: {answer}", call.hidden)
        for place, (question, answer) in enumerate(pairs, 1)
    )
    hops = len(call.passages)
    name: PromptName = "judge_multi" if hops > 1 else "judge"
    asked = hops if prompts.mentions(name, '"needed"') else 1
    values = {"passages": fence([passage.shown for passage in call.passages]), "searches": searches}
    return LLMRequest(name, prompts.messages(name, values), _judgement(len(pairs), asked), call.documents)


def read_scores(reply: BaseModel) -> list[Judgement]:
    """Return the judgements in a reply to `judging_request`, in the order of its pairs."""
    found = []
    for scores in reply.model_dump()["scores"]:
        needed = frozenset(scores["needed"]) if "needed" in scores else None
        found.append(Judgement(tuple(scores[aspect] for aspect in ASPECTS), needed))
    return found


@cache
def _judgement(count: int, hops: int) -> type[BaseModel]:
    """Return the model of a reply with the scores of `count` questions; of a bundle, also the passages needed."""
    # Any: pydantic's create_model takes field definitions of any type.
    kind: Any = Scores
    if hops > 1:
        passage = Annotated[int, Field(ge=1, le=hops)]
        parts: dict[str, Any] = {"needed": (list[passage], ...), **dict.fromkeys(ASPECTS, (Score, ...))}
        kind = create_model("ScoresOfJoined", __config__=STRICT, **parts)
    fields: dict[str, Any] = {"scores": (list[kind], Field(min_length=count, max_length=count))}
    model: type[BaseModel] = create_model("Judgement", __config__=STRICT, **fields)
    return model
