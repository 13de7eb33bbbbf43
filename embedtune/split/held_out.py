"""Holds out dev and test queries from labelled train queries; queries that share anything stay together."""

import hashlib
from collections.abc import Mapping, Sequence

from embedtune.core.retrieval.beir import Qrels, Record
from embedtune.core.retrieval.overlap import repeated
from embedtune.core.retrieval.union_find import UnionFind


def hold_out(
    queries: Sequence[Record],
    qrels: Qrels,
    group_of: Mapping[str, str],
    shares: Mapping[str, float],
    *,
    query_jaccard: float,
    seed: int,
) -> dict[str, Qrels]:
    """Divide judged queries into splits such that nothing leaks between them.

    Queries that are answered from one near-duplicate group, or that nearly repeat each other, form one unit. Units
    are taken in the order of a hash; each goes to the first held-out split that it still fits into, else to train.

    Args:
        queries: The judged queries.
        qrels: Their judgements.
        group_of: Near-duplicate group of each passage.
        shares: Share of the queries for each held-out split.
        query_jaccard: Word-3-gram Jaccard at or above which two queries count as the same.
        seed: Determines the order.

    Returns:
        Judgements of train and of each split in `shares`.
    """
    free = {split: round(share * len(queries)) for split, share in shares.items()}
    found: dict[str, Qrels] = {"train": {}, **{split: {} for split in shares}}
    units = _units(queries, qrels, group_of, query_jaccard)
    for unit in sorted(units, key=lambda unit: hashlib.sha256(f"{seed}:{unit[0]}".encode()).digest()):
        split = next((split for split in free if len(unit) <= free[split]), "train")
        if split != "train":
            free[split] -= len(unit)
        found[split].update((query, qrels[query]) for query in unit)
    return found


def _units(
    queries: Sequence[Record], qrels: Qrels, group_of: Mapping[str, str], query_jaccard: float
) -> list[list[str]]:
    """Return the connected components of queries, each sorted."""
    joined = UnionFind(len(queries))
    first: dict[str, int] = {}  # a query that is answered from each group
    for number, query in enumerate(queries):
        for passage in qrels[query.id]:
            joined.union(number, first.setdefault(group_of[passage], number))
    texts = [query.text for query in queries]
    for i, j in repeated(texts, texts, query_jaccard):
        joined.union(i, j)
    units: dict[int, list[str]] = {}
    for query, label in zip(queries, joined.labels().tolist(), strict=True):
        units.setdefault(label, []).append(query.id)
    return [sorted(unit) for unit in units.values()]
