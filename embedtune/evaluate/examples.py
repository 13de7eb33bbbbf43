"""The biggest wins and losses, with the details needed to understand them."""

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


def examples_record(results: list[SetResult], wanted: int) -> Examples:
    """Return for each set the `wanted` queries that gained most nDCG@10 and the `wanted` that lost most."""
    return Examples(sets={result.name: _examples_of(result, wanted) for result in results})


def _examples_of(result: SetResult, wanted: int) -> SetExamples:
    base, tuned = result.per_query["base"], result.per_query["tuned"]
    change = {
        query.id: tuned[query.id][DECIDING_METRIC] - base[query.id][DECIDING_METRIC]
        for query in result.data.queries
    }
    queries = {query.id: query for query in result.data.queries}
    passages = {passage.id: passage for passage in result.data.corpus}
    wins = sorted((-value, query_id) for query_id, value in change.items() if value > 0)
    losses = sorted((value, query_id) for query_id, value in change.items() if value < 0)
    return SetExamples(
        wins=tuple(_example(result, queries[query_id], passages) for _, query_id in wins[:wanted]),
        losses=tuple(_example(result, queries[query_id], passages) for _, query_id in losses[:wanted]),
    )


def _example(result: SetResult, query: Record, passages: dict[str, Record]) -> Example:
    return Example(
        query_id=query.id,
        query=query.text,
        relevant=tuple(
            RelevantPassage(id=passage_id, text=passages[passage_id].text)
            for passage_id in sorted(result.data.qrels[query.id])
        ),
        systems={system: _ranking(result, query.id, system, passages) for system in ("base", "tuned")},
    )


def _ranking(result: SetResult, query_id: str, system: str, passages: dict[str, Record]) -> Ranking:
    return Ranking(
        ndcg_at_10=round(result.per_query[system][query_id][DECIDING_METRIC], DECIMALS),
        first_relevant_rank=result.first_rank(system, query_id),
        top=tuple(
            RankedPassage(
                id=passage_id,
                score=round(result.runs[system][query_id][passage_id], DECIMALS),
                relevant=result.answers(query_id, passage_id),
                text=passages[passage_id].text,
            )
            for passage_id in result.ranking(system, query_id)[:SHOWN]
        ),
    )
