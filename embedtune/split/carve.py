"""Carve held-out splits from labelled queries: queries that share anything stay together."""

import hashlib
from collections.abc import Mapping, Sequence

from embedtune.core.retrieval.beir import Qrels, Record
from embedtune.core.retrieval.shingles import jaccard, shingles
from embedtune.split.overlap import overlapping
from embedtune.split.proofs import QUERY_WORDS


def carve(
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
    are taken in the order of a hash; each goes to the first held-out split that has room for it, else to train.

    Args:
        queries: The judged queries.
        qrels: Their judgements.
        group_of: Near-duplicate group of each passage.
        shares: Of the queries, for each held-out split.
        query_jaccard: Word-3-gram Jaccard from which on two queries are one.
        seed: Changes the order.

    Returns:
        Judgements of train and of each split in `shares`.
    """
    room = {split: round(share * len(queries)) for split, share in shares.items()}
    carved: dict[str, Qrels] = {"train": {}, **{split: {} for split in shares}}
    units = _units(queries, qrels, group_of, query_jaccard)
    for unit in sorted(units, key=lambda unit: hashlib.sha256(f"{seed}:{unit[0]}".encode()).digest()):
        split = next((split for split in room if len(unit) <= room[split]), "train")
        if split != "train":
            room[split] -= len(unit)
        carved[split].update((query, qrels[query]) for query in unit)
    return carved


def _units(
    queries: Sequence[Record], qrels: Qrels, group_of: Mapping[str, str], query_jaccard: float
) -> list[list[str]]:
    """Return the connected components of queries, each sorted."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    for query in queries:
        for passage in qrels[query.id]:
            parent[root(f"group {group_of[passage]}")] = root(f"query {query.id}")
    sets = [shingles(query.text, QUERY_WORDS) for query in queries]
    for i, j in overlapping(sets, sets, query_jaccard):
        if jaccard(sets[i], sets[j]) >= query_jaccard:
            parent[root(f"query {queries[i].id}")] = root(f"query {queries[j].id}")
    units: dict[str, list[str]] = {}
    for query in sorted(queries, key=lambda query: query.id):
        units.setdefault(root(f"query {query.id}"), []).append(query.id)
    return list(units.values())
