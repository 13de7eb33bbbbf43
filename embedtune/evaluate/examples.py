"""Examples of wins and losses, chosen at random, with the details needed to understand them.

The largest changes would make a better show, but say nothing about what usually happens.
"""

import hashlib
from collections.abc import Iterable, Mapping

from embedtune.core.records.evaluation import (
    Example,
    Examples,
    RankedPassage,
    Ranking,
    RelevantPassage,
    SetExamples,
)
from embedtune.core.retrieval.beir import Record
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.evaluate.intervals import DECIMALS
from embedtune.evaluate.result import SetResult

SHOWN = 3  # passages shown of each system's ranking


def examples_record(results: list[SetResult], wanted: int, seed: int) -> Examples:
    """Return for each set `wanted` queries that gained nDCG@10 and `wanted` that lost, chosen at random.

    Args:
        results: One per set.
        wanted: Number of wins and of losses per set; fewer if there are not so many.
        seed: Seed of the choice. The same query is chosen whatever else the set contains is ordered by.
    """
    return Examples(seed=seed, sets={result.name: _examples_of(result, wanted, seed) for result in results})


def _examples_of(result: SetResult, wanted: int, seed: int) -> SetExamples:
    base, tuned = result.per_query["base"], result.per_query["tuned"]
    change = {
        query.id: tuned[query.id][DECIDING_METRIC] - base[query.id][DECIDING_METRIC]
        for query in result.data.queries
    }
    queries = {query.id: query for query in result.data.queries}
    passages = {passage.id: passage for passage in result.data.corpus}
    gained = [query_id for query_id, value in change.items() if value > 0]
    lost = [query_id for query_id, value in change.items() if value < 0]
    return SetExamples(
        wins=tuple(_example(result, queries[one], passages) for one in _shuffled(gained, seed)[:wanted]),
        losses=tuple(_example(result, queries[one], passages) for one in _shuffled(lost, seed)[:wanted]),
        gained=len(gained),
        lost=len(lost),
    )


def _shuffled(query_ids: Iterable[str], seed: int) -> list[str]:
    """Return ids in an order that depends on the seed and on nothing else."""
    return sorted(query_ids, key=lambda one: (hashlib.sha256(f"example {seed} {one}".encode()).digest(), one))


def _example(result: SetResult, query: Record, passages: Mapping[str, Record]) -> Example:
    return Example(
        query_id=query.id,
        query=query.text,
        relevant=tuple(
            RelevantPassage(id=one, text=passages[one].text, source=_source(passages[one]))
            for one in sorted(result.data.qrels[query.id])
        ),
        systems={system: _ranking(result, query.id, system, passages) for system in ("base", "tuned")},
    )


def _source(passage: Record) -> str:
    path = passage.metadata.get("path")
    return path if isinstance(path, str) else ""


def _ranking(result: SetResult, query_id: str, system: str, passages: Mapping[str, Record]) -> Ranking:
    return Ranking(
        ndcg_at_10=round(result.per_query[system][query_id][DECIDING_METRIC], DECIMALS),
        first_relevant_rank=result.first_rank(system, query_id),
        top=tuple(
            RankedPassage(
                id=one,
                score=round(result.runs[system][query_id][one], DECIMALS),
                relevant=result.answers(query_id, one),
                text=passages[one].text,
                source=_source(passages[one]),
            )
            for one in result.ranking(system, query_id)[:SHOWN]
        ),
    )
