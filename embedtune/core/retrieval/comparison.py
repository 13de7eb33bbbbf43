"""The results of two models for one question side by side: what stands where, and where the other one has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedtune.core.retrieval.beir import Record

BASE, TUNED = "base", "tuned"
DEPTH = 100  # ranks that are told; beyond, a passage counts as not found

Ranking = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Hit:
    """A passage that one model found.

    Args:
        rank: From 1.
        other_rank: Its rank with the other model; None: not among the first 100, or there is no other model.
        score: Inner product of the vectors.
        id: The passage.
        text: What was embedded.
    """

    rank: int
    other_rank: int | None
    score: float
    id: str
    text: str


def compare(rankings: Mapping[str, Ranking], passages: Sequence[Record], count: int) -> dict[str, list[Hit]]:
    """Return the first results of each model.

    Args:
        rankings: Place in `passages` and score, best first, by model; at most two models.
        passages: The corpus.
        count: Results wanted of each.
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
