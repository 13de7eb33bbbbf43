"""The biggest wins and losses, with what a reader needs to judge them."""

from typing import Any

from embedtune.core.retrieval.beir import Record
from embedtune.evaluate.bootstrap import DECIMALS
from embedtune.evaluate.result import SetResult
from embedtune.evaluate.verdict import METRIC

SHOWN = 3  # passages shown of each system's ranking


def example_records(result: SetResult, wanted: int) -> dict[str, list[dict[str, Any]]]:
    """Return the `wanted` queries that gained and lost most nDCG@10; a query that did not move is neither."""
    base, tuned = result.per_query["base"], result.per_query["tuned"]
    change = {query.id: tuned[query.id][METRIC] - base[query.id][METRIC] for query in result.data.queries}
    queries = {query.id: query for query in result.data.queries}
    passages = {passage.id: passage for passage in result.data.corpus}
    wins = sorted((-value, query_id) for query_id, value in change.items() if value > 0)
    losses = sorted((value, query_id) for query_id, value in change.items() if value < 0)
    return {
        name: [_example(result, queries[query_id], passages) for _, query_id in ordered[:wanted]]
        for name, ordered in (("wins", wins), ("losses", losses))
    }


def _example(result: SetResult, query: Record, passages: dict[str, Record]) -> dict[str, Any]:
    relevant = result.data.qrels[query.id]
    return {
        "query_id": query.id,
        "query": query.text,
        "relevant": [{"id": passage_id, "text": passages[passage_id].text} for passage_id in sorted(relevant)],
        "systems": {
            system: {
                METRIC: round(result.per_query[system][query.id][METRIC], DECIMALS),
                "first_relevant_rank": result.first_rank(system, query.id),
                "top": [
                    {
                        "id": passage_id,
                        "score": round(result.runs[system][query.id][passage_id], DECIMALS),
                        "relevant": passage_id in relevant,
                        "text": passages[passage_id].text,
                    }
                    for passage_id in result.ranking(system, query.id)[:SHOWN]
                ],
            }
            for system in ("base", "tuned")
        },
    }
