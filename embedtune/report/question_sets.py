"""Whose questions a set holds: what the report may conclude from it depends on who asked."""

from dataclasses import dataclass
from enum import Enum, auto

from embedtune.core.comparisons import SYNTHETIC
from embedtune.report.evaluation import Evaluation
from embedtune.report.work import Work

UNSEEN = ("dev", "test")  # splits of the documents that training saw no question about


class Author(Enum):
    """Who wrote the questions of a set."""

    MODEL = auto()  # the LLM of this run
    GIVEN = auto()  # a set that the user evaluates on
    CHECKED = auto()  # such a set, of an LLM's questions that a person accepted or edited
    LABELLED = auto()  # the test part of the user's own labelled data


@dataclass(frozen=True)
class QuestionSet:
    """One set of questions, in words.

    Args:
        name: Its name.
        queries: Number of questions.
        author: Who wrote them.
        generator: Name of the LLM; "" if none wrote them.
    """

    name: str
    queries: int
    author: Author
    generator: str = ""

    @property
    def asked(self) -> str:
        """The questions as the object of a sentence: 246 “handwritten” questions."""
        noun = "question" if self.queries == 1 else "questions"
        if self.author is Author.MODEL:
            return f"{self.queries:,} {noun} written by a language model"
        if self.author is Author.LABELLED:
            return f"{self.queries:,} {noun} of your labelled data"
        return f"{self.queries:,} “{self.name}” {noun}"


def question_set(work: Work, evaluation: Evaluation, name: str) -> QuestionSet:
    """Return a set with its author."""
    queries = evaluation.metrics.sets[name].queries
    if name != SYNTHETIC:
        # Only an LLM's questions have a type: it was told which one to ask.
        typed = any(part.dimension == "query_type" for part in evaluation.slices.sets[name].slices)
        return QuestionSet(name, queries, Author.CHECKED if typed else Author.GIVEN)
    dataset = work.manifests.get("dataset")
    written = "questions" in dataset.inputs if dataset else "questions" in work.manifests
    if not written:
        return QuestionSet(name, queries, Author.LABELLED)
    questions = work.manifests.get("questions")
    generator = questions.report.metrics.get("generator", "") if questions else ""
    return QuestionSet(name, queries, Author.MODEL, str(generator))


def whose(asked: QuestionSet, evaluation: Evaluation) -> list[str]:
    """Say who wrote the questions of the deciding set, and what follows from that."""
    return [*_whose(asked, evaluation), *_examples(evaluation)]


def _examples(evaluation: Evaluation) -> list[str]:
    shown = " and ".join(f"“{text}”" for text in evaluation.changes.shown)
    return (
        [f"Two of the questions: {shown}. Do your users ask like that?"]
        if len(evaluation.changes.shown) > 1
        else []
    )


def _whose(asked: QuestionSet, evaluation: Evaluation) -> list[str]:
    if asked.author is Author.MODEL:
        by = f"A language model ({asked.generator})" if asked.generator else "A language model"
        return [
            f"{by} wrote them, not people. It saw the passage when it asked, so it uses the passage's words "
            "more than people do. A gain on such questions is a good sign, not yet a proof that your users will "
            "notice it.",
        ]
    if asked.author is Author.LABELLED:
        return [
            "They are from the labelled data that this run was started with, and were kept out of training. "
            "If people really asked them, this is the figure to trust."
        ]
    if asked.author is Author.CHECKED:
        return [
            f"A language model wrote them, and a person checked them (the set “{asked.name}”). They are good "
            "questions, but closer to the documents' words than those that people ask by themselves."
        ]
    return [
        f"You supplied them as the set “{asked.name}”; this run's language model did not write them. "
        "If your users really ask like this, this is the figure to trust.",
        *_seen(asked, evaluation),
    ]


def _seen(asked: QuestionSet, evaluation: Evaluation) -> list[str]:
    """Say how many questions are about documents that training saw, if the set knows it."""
    parts = [part for part in evaluation.slices.sets[asked.name].slices if part.dimension == "answered_in"]
    unseen = [part for part in parts if part.value in UNSEEN]
    new, known = (sum(part.queries for part in some) for some in (unseen, parts))
    if not parts or new == known:
        return []
    start = (
        f"None of these questions was used in training, but {known - new:,} of them are about documents that the "
        "model has learned about from other questions"
    )
    if not new:
        return [f"{start}."]
    mean = sum(part.delta.mean * part.queries for part in unseen) / new
    rounded = round(mean, 3)
    changed = f"{'rose' if rounded > 0 else 'fell'} by {abs(rounded):.3f}" if rounded else "did not change"
    return [
        f"{start}. The other {new:,} are about documents that were new to it, like those that you will add later: "
        f"on these the score {changed} (how sure that is: Caveats, below)."
    ]


def more_questions(asked: QuestionSet) -> str:
    """Say how a set gets more questions, as the end of a sentence."""
    if asked.author is Author.MODEL:
        return (
            "add documents, give the test a larger share of them (`ingest.test_share`, with `ingest.train_share` "
            "lowered by as much), or bring your own questions with `--eval-set`"
        )
    if asked.author is Author.LABELLED:
        return "judge more queries in qrels/test.tsv, or bring another set with `--eval-set`"
    return f"add some to the set “{asked.name}” (`embedtune eval-set`)"
