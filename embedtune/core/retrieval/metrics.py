"""Retrieval metrics per query, computed by trec_eval itself (pytrec-eval-terrier) on rankings without ties."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import count, islice

from embedtune.core.errors import EmbedtuneError
from embedtune.core.retrieval.beir import Qrels

Run = Mapping[str, Mapping[str, float]]
PerQuery = dict[str, dict[str, float]]
DECIDING_METRIC = "ndcg@10"  # verdicts, the choice of a checkpoint and the parity of an engine rest on it
MEASURES = {"ndcg": "ndcg_cut", "recall": "recall", "precision": "P", "mrr": "recip_rank"}
TITLES = {"ndcg": "nDCG", "recall": "Recall", "precision": "Precision", "mrr": "MRR"}


def metric_names(k: Iterable[int]) -> list[str]:
    """Return the names of all metrics at the cut-offs `k`, one measure after the other, such as "ndcg@10"."""
    cuts = sorted(set(k))
    return [f"{name}@{cut}" for name in MEASURES for cut in cuts]


def metric_title(metric: str) -> str:
    """Return a metric's name as it is written: nDCG@10."""
    name, _, cut = metric.partition("@")
    return f"{TITLES.get(name, name)}@{cut}"


def ranking_of(scores: Mapping[str, float]) -> list[str]:
    """Return the passages of one query in order: highest score first, equal scores by id, descending.

    That is trec_eval's rule for ties. It is applied here because trec_eval compares scores as 32-bit floats, which
    makes ties of scores that differ, and puts NaN first.

    Raises:
        EmbedtuneError: A score is not finite.
    """
    if not all(map(math.isfinite, scores.values())):
        broken = next(passage_id for passage_id, score in scores.items() if not math.isfinite(score))
        raise EmbedtuneError("a retrieval score is not finite", got=f"{scores[broken]} of passage {broken}")
    pairs = sorted(zip(scores.values(), scores, strict=True), reverse=True)
    return [passage_id for _, passage_id in pairs]


def first_relevant_rank(ranking: Sequence[str], relevant: Iterable[str]) -> int | None:
    """Return the 1-based rank of the first relevant passage, or None if the ranking has none."""
    wanted = set(relevant)
    return next((rank for rank, passage_id in enumerate(ranking, 1) if passage_id in wanted), None)


def evaluate_run(run: Run, qrels: Qrels, k: Sequence[int]) -> PerQuery:
    """Measure a run: nDCG, recall, precision and MRR at each cut-off, for every judged query.

    nDCG has trec_eval's linear gain and log2(rank + 1) discount. MRR@k is the reciprocal rank in the first k
    passages. A judged query that is missing from the run scores 0; a query of the run without judgements is not
    measured. A passage whose id equals its query's id counts like any other (BEIR's evaluation silently drops it).

    Args:
        run: Score of each retrieved passage, by query id and passage id; higher is better.
        qrels: Relevance of each judged passage; above 0 is relevant.
        k: The cut-offs.

    Returns:
        The metrics of each query, in the order of `qrels`, with the names from `metric_names`.

    Raises:
        EmbedtuneError: A score is not finite.
    """
    import pytrec_eval

    cuts = sorted(set(k))
    qrels = {query_id: judged for query_id, judged in qrels.items() if judged}
    # Scores become distinct integers, exact in 32 bits, so that trec_eval keeps our order.
    ranks = {
        query_id: dict(zip(ranking_of(run.get(query_id, {})), count(0, -1), strict=False)) for query_id in qrels
    }
    listed = ",".join(str(cut) for cut in cuts)
    measures = {f"{MEASURES[name]}.{listed}" for name in ("ndcg", "recall", "precision")}
    at_all_cuts = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(ranks)
    reciprocal = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"})
    at_cut = {cut: reciprocal.evaluate(_cut(ranks, cut)) for cut in cuts}
    result: PerQuery = {}
    for query_id in qrels:
        values = at_all_cuts[query_id]
        result[query_id] = {
            f"{name}@{cut}": at_cut[cut][query_id]["recip_rank"] if name == "mrr" else values[f"{measure}_{cut}"]
            for name, measure in MEASURES.items()
            for cut in cuts
        }
    return result


def _cut(ranks: dict[str, dict[str, int]], cut: int) -> dict[str, dict[str, int]]:
    """Keep the first `cut` passages of each query, which are in order."""
    return {query_id: dict(islice(passages.items(), cut)) for query_id, passages in ranks.items()}


def mean_metrics(per_query: PerQuery) -> dict[str, float]:
    """Return the mean of each metric over the queries.

    Raises:
        EmbedtuneError: There is no query.
    """
    if not per_query:
        raise EmbedtuneError("there are no queries to average over", expected="at least one judged query")
    names = next(iter(per_query.values()))
    return {name: math.fsum(row[name] for row in per_query.values()) / len(per_query) for name in names}
