"""The calls: what is sent for a sheet, and the shape that a reply must have."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from embedtune.generate.calls import Sheet
from embedtune.generate.prompts import fence, load_prompt
from embedtune.generate.slots import slot_text
from embedtune.llm.client import Ask

Score = Annotated[int, Field(ge=1, le=10)]
ASPECTS = ("relevance", "accuracy", "clarity", "context_support")
STRICT = ConfigDict(extra="forbid")


class Scores(BaseModel):
    """What the judge gives one question."""

    model_config = STRICT
    relevance: Score
    accuracy: Score
    clarity: Score
    context_support: Score


@dataclass(frozen=True)
class Written:
    """One question as the model wrote it; `facts` holds what each of several passages contributes."""

    question: str
    answer: str
    facts: tuple[str, ...]


def writing_ask(sheet: Sheet) -> Ask[Any]:
    """Return the call that has the questions of a sheet written."""
    hops = len(sheet.passages)
    name = "generate_multi" if hops > 1 else "generate_single"
    values = {
        "passages": fence([passage.text for passage in sheet.passages]),
        "slots": "\n".join(slot_text(place, slot) for place, slot in enumerate(sheet.slots, 1)),
    }
    schema = _searches(tuple(slot.style for slot in sheet.slots), hops if hops > 1 else 0)
    return Ask(name, load_prompt(name).messages(values), schema)


def read_written(sheet: Sheet, reply: BaseModel) -> list[Written]:
    """Return the questions of a reply to `writing_ask`, in the order of the slots."""
    found = []
    for place, slot in enumerate(sheet.slots, 1):
        search = getattr(reply, f"search_{place}").model_dump()
        facts = tuple(value for key, value in search.items() if key.startswith("fact_"))
        found.append(Written(search[slot.style], search["answer"], facts))
    return found


@cache
def _searches(styles: tuple[str, ...], facts: int) -> type[BaseModel]:
    """Return the shape of a reply: facts first, then the answer, then the search under the name of its style.

    A small model that must write the answer before the question asks about one fact, and a field that is called
    `symptom` keeps it from writing a full question.
    """
    searches: dict[str, Any] = {}
    for place, style in enumerate(styles, 1):
        names = [*(f"fact_{number}" for number in range(1, facts + 1)), "answer", style]
        fields: dict[str, Any] = dict.fromkeys(names, (str, ...))
        searches[f"search_{place}"] = (create_model(f"Search{place}", __config__=STRICT, **fields), ...)
    model: type[BaseModel] = create_model("Searches", __config__=STRICT, **searches)
    return model


def judging_ask(sheet: Sheet, pairs: Sequence[tuple[str, str]]) -> Ask[Any]:
    """Return the call that has all questions of a sheet judged.

    Args:
        sheet: Its passages are shown.
        pairs: Question and answer of each.
    """
    searches = "\n".join(
        f"{place}. {question}\nAnswer: {answer}" for place, (question, answer) in enumerate(pairs, 1)
    )
    values = {"passages": fence([passage.text for passage in sheet.passages]), "searches": searches}
    return Ask("judge", load_prompt("judge").messages(values), _verdicts(len(pairs)))


@cache
def _verdicts(count: int) -> type[BaseModel]:
    fields: dict[str, Any] = {"scores": (list[Scores], Field(min_length=count, max_length=count))}
    model: type[BaseModel] = create_model("Verdicts", __config__=STRICT, **fields)
    return model
