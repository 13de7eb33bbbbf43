"""Questions of people that training used must not be in a set that judges the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from embedtune.core.config.split import HumanKind
from embedtune.core.errors import InputError
from embedtune.core.retrieval.beir import RetrievalSet, read_records
from embedtune.core.retrieval.quoted_answers import normal


def require_unseen(sets: Mapping[str, RetrievalSet], dataset: Path) -> None:
    """Refuse sets with questions that `split.human_pairs` added to the train questions, whatever their case.

    A question that the generator happened to write as well is not refused: the model has learned from its own
    passage, not from the answer that people judged.

    Args:
        sets: The sets of an evaluation, by name.
        dataset: The dataset artifact that the tuned model was trained on.

    Raises:
        InputError: A set has such a question.
    """
    trained = trained_questions(dataset)
    for name, data in sets.items():
        seen = [query.text for query in data.queries if normal(query.text) in trained]
        if seen:
            raise InputError(
                f"{len(seen):,} of {len(data.queries):,} questions of the evaluation set {name} were trained on: "
                "a model that has only learned them by heart would win",
                got=f"in split.human_pairs too: {seen[0]!r}",
                expected="questions that training has not seen",
                fix="build it with `embedtune eval-set --held-out`, or remove its questions from the files of "
                "split.human_pairs and run again from split",
            )


def trained_questions(dataset: Path) -> set[str]:
    """Return the questions of people that were trained on, normalised."""
    kinds = get_args(HumanKind)
    return {
        normal(query.text)
        for query in read_records(dataset / "queries.jsonl")
        if query.metadata.get("source") in kinds and query.metadata.get("split") == "train"
    }
