"""Nested shares of a training set: a larger share contains every smaller one."""

import hashlib
from collections.abc import Iterable

from embedtune.core.errors import InputError
from embedtune.core.records.curve import WHOLE, Kind
from embedtune.core.retrieval.passage_groups import family_of
from embedtune.mine.mining_set import MiningSet


def share_of(data: MiningSet, kind: Kind, share: int, seed: int) -> MiningSet:
    """Return the part of a training set that there would be with fewer questions, or with fewer documents.

    With a share of the documents, their passages are all that negatives are mined from, and a question is kept if
    all its answers are among them.

    Args:
        data: All train queries, and the passages that train may see.
        kind: What there is less of.
        share: Percent of the questions, or of the document families, rounded up; 100 is everything.
        seed: Determines the order in which they are left out.

    Raises:
        InputError: No question is about that share of the documents.
    """
    if share == WHOLE:
        return data
    if kind == "questions":
        names = _first((query.id for query in data.queries), share, seed)
        return _with_queries(data, names)
    families = family_of(data.passages)
    chosen = _first(families.values(), share, seed)
    passages = [passage for passage in data.passages if families[passage.id] in chosen]
    seen = {passage.id for passage in passages}
    names = {query for query, judged in data.qrels.items() if judged.keys() <= seen}
    if not names:
        raise InputError(
            f"no train question is about {share} % of the documents",
            got=f"{len(chosen)} families of documents",
            expected="at least one question",
            fix="name a larger --share",
        )
    return _with_queries(MiningSet(data.queries, passages, data.qrels), names)


def document_families(data: MiningSet) -> int:
    """Return the number of families that the passages belong to."""
    return len(set(family_of(data.passages).values()))


def _first(names: Iterable[str], share: int, seed: int) -> set[str]:
    """Return a share of the names, rounded up, in an order that depends on nothing but the seed and the name."""
    ordered = sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    return set(ordered[: -(-len(ordered) * share // WHOLE)])


def _with_queries(data: MiningSet, names: set[str]) -> MiningSet:
    queries = [query for query in data.queries if query.id in names]
    return MiningSet(queries, data.passages, {query.id: data.qrels[query.id] for query in queries})
