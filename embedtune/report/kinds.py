"""For which kinds of question the tuned model is better or worse: the slices of the deciding set, in words."""

from collections import Counter
from collections.abc import Callable, Sequence

from embedtune.core.formatting import signed
from embedtune.core.records.evaluation import Slice
from embedtune.report.evaluation import Evaluation

NAMED = 3  # kinds named on each side; the others are in the chart
STYLES = {
    "question": "full questions",
    "keywords": "searches with keywords",
    "symptom": "descriptions of a symptom",
    "howto": "how-to questions",
}
LEXICAL = {
    "BM25 finds it first": "questions that a plain search for words answers too",
    "BM25 does not": "questions that a plain search for words does not answer at once",
}
PHRASES: dict[str, Callable[[str], str]] = {
    "hops": lambda value: (
        "questions that one passage answers" if value == "1" else f"questions that need {value} passages"
    ),
    "query_type": lambda value: f"{value.replace('_', '-')} questions",
    "style": lambda value: STYLES.get(value, f"{value} questions"),
    "complexity": lambda value: f"questions of complexity {value}",
    "length": lambda value: f"questions of {value.replace('-', '–')}",  # noqa: RUF001
    "lexical_ease": lambda value: LEXICAL.get(value, value),
}
# A question at rank 1 in the base model can only fall, and one at a low rank nearly only rise.
# Whether training saw the documents is said where it says whose questions these are.
LEFT_OUT = {"base_rank", "answered_in"}


def kinds_sentences(evaluation: Evaluation) -> list[str]:
    """Say which kinds of question changed for certain, and how many did not."""
    every = evaluation.slices.sets[evaluation.decided_on].slices
    values = Counter(part.dimension for part in every)
    kinds = [
        part for part in every if values[part.dimension] > 1 and not part.small and part.dimension not in LEFT_OUT
    ]
    if not kinds:
        return ["It cannot be said: there are too few questions of each kind."]
    better = sorted((part for part in kinds if part.delta.direction == "up"), key=lambda part: -part.delta.mean)
    worse = sorted((part for part in kinds if part.delta.direction == "down"), key=lambda part: part.delta.mean)
    if not better and not worse and len(kinds) == 1:
        return [f"The one kind with enough questions ({phrase(kinds[0])}) is not certainly better or worse."]
    if not better and not worse:
        return [f"No kind differs clearly: of {len(kinds)} kinds compared, none is certainly better or worse."]
    said = [f"{word} for {_named(parts)}." for word, parts in (("Better", better), ("Worse", worse)) if parts]
    others = [part for part in kinds if part not in better and part not in worse]
    if others:
        rest = len(others)
        kinds_left, are = ("other kind", "is") if rest == 1 else (f"other {rest} kinds", "are")
        ends = "certainly better or worse" if better and worse else f"certainly {'worse' if worse else 'better'}"
        named = f" ({', '.join(phrase(part) for part in others)})" if rest <= NAMED else ""
        said.append(f"The {kinds_left} compared{named} {are} not {ends}.")
    if not worse:
        said.append("No kind is certainly worse.")
    return said


def _named(parts: Sequence[Slice]) -> str:
    named = parts if len(parts) == NAMED + 1 else parts[:NAMED]  # a name is as short as "1 more"
    shown = [f"{phrase(part)} ({signed(part.delta.mean, 2)})" for part in named]
    if len(parts) > len(named):
        shown.append(f"{len(parts) - len(named)} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def phrase(part: Slice) -> str:
    """Return the questions of a slice in words."""
    known = PHRASES.get(part.dimension)
    return known(part.value) if known else f"questions with {part.dimension} = {part.value}"
