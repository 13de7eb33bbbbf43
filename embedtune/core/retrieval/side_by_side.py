"""Compares the results of two models for one question: each passage's rank with one model and with the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedtune.core.retrieval.beir import Record

BASE, TUNED = "base", "tuned"
DEPTH = 100  # ranks that are compared; beyond them a passage counts as not found

Ranking = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Hit:
    """A passage that one model found.

    Args:
        rank: Its rank, from 1.
        other_rank: Its rank with the other model; None: not among the first 100, or there is no other model.
        score: Inner product of the vectors; in a hybrid search, the joined score.
        id: Id of the passage.
        text: The embedded text of the passage.
    """

    rank: int
    other_rank: int | None
    score: float
    id: str
    text: str


def compare(rankings: Mapping[str, Ranking], passages: Sequence[Record], count: int) -> dict[str, list[Hit]]:
    """Return the first results of each model.

    Args:
        rankings: By model, the index in `passages` and the score of each result, best first; at most two models.
        passages: The corpus.
        count: Number of results wanted per model.
    """
    ranks = {
        model: {place: rank for rank, (place, _) in enumerate(ranking, 1)} for model, ranking in rankings.items()
    }
    found = {}
    for model, ranking in rankings.items():
        elsewhere = next((ranks[other] for other in ranks if other != model), {})
        found[model] = [
            Hit(rank, elsewhere.get(place), score, passages[place].id, passages[place].text)
            for rank, (place, score) in enumerate(ranking[:count], 1)
        ]
    return found
