"""Near-duplicate groups of passages, which count as one answer, and families of documents: units of intervals."""

import math
from collections.abc import Iterable, Mapping, Sequence

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.progress import Progress
from embedtune.core.retrieval.beir import Qrels, Record, RetrievalSet
from embedtune.core.retrieval.metrics import DECIDING_METRIC, Run, evaluate_run
from embedtune.core.retrieval.near_duplicates import near_duplicate_groups
from embedtune.core.retrieval.union_find import UnionFind

GROUP, FAMILY = "group_id", "family_id"  # metadata of a passage
DEEPEST = 16  # times k: a search goes no deeper to find k groups, whatever the sizes of the groups


def in_groups(corpus: Sequence[Record], settings: IngestSettings, progress: Progress) -> list[Record]:
    """Return the passages with `group_id` and `family_id` in their metadata.

    Passages that ingest has numbered are returned as they are. In a user's own set, the groups are found here, and
    a family is what ingest means by it: documents (`doc_id` of the metadata, else each passage is one) that share
    a group, unless that group is in so many documents that it is boilerplate.

    Args:
        corpus: All passages of a set.
        settings: When two passages are near-duplicates, and when a group is boilerplate.
        progress: Updated while passages are compared.
    """
    if all(isinstance(record.metadata.get(name), str) for record in corpus for name in (GROUP, FAMILY)):
        return list(corpus)
    labels = near_duplicate_groups(
        [record.text for record in corpus],
        settings.near_duplicate_jaccard,
        settings.near_duplicate_containment,
        progress,
    )
    groups = _smallest(labels, [record.id for record in corpus])
    documents = [_document(record) for record in corpus]
    families = _families(documents, groups, settings.boilerplate_documents)
    return [
        Record(record.id, record.text, {**record.metadata, GROUP: group, FAMILY: families[document]})
        for record, group, document in zip(corpus, groups, documents, strict=True)
    ]


def _document(record: Record) -> str:
    given = record.metadata.get("doc_id")
    return given if isinstance(given, str) and given else record.id


def _smallest(labels: Sequence[int], names: Sequence[str]) -> list[str]:
    """Return for each item the smallest name among those with its label."""
    found: dict[int, str] = {}
    for label, name in zip(labels, names, strict=True):
        found[label] = min(name, found.get(label, name))
    return [found[label] for label in labels]


def _families(documents: Sequence[str], groups: Sequence[str], boilerplate: int) -> dict[str, str]:
    """Return the smallest document of each document's family."""
    names = sorted(set(documents))
    number = {name: place for place, name in enumerate(names)}
    holders: dict[str, set[int]] = {}
    for document, group in zip(documents, groups, strict=True):
        holders.setdefault(group, set()).add(number[document])
    joined = UnionFind(len(names))
    for found in holders.values():
        if len(found) <= boilerplate:
            first = min(found)
            for other in found:
                joined.union(first, other)
    return {name: names[label] for name, label in zip(names, joined.labels().tolist(), strict=True)}


def group_of(corpus: Iterable[Record]) -> dict[str, str]:
    """Return the near-duplicate group of each passage; a passage without one is its own."""
    return {record.id: str(record.metadata.get(GROUP, record.id)) for record in corpus}


def family_of(corpus: Iterable[Record]) -> dict[str, str]:
    """Return the family of each passage; a passage without one is its own."""
    return {record.id: str(record.metadata.get(FAMILY, record.id)) for record in corpus}


def grouped_run(run: Run, groups: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return a run of groups: each has the score of its best passage, the others are dropped from the ranking."""
    found: dict[str, dict[str, float]] = {}
    for query, scores in run.items():
        best: dict[str, float] = {}
        for passage, score in scores.items():
            group = groups[passage]
            # A score that is not a number stays, so that it is reported and not hidden by another.
            if group not in best or score > best[group] or math.isnan(score):
                best[group] = score
        found[query] = best
    return found


def grouped_qrels(qrels: Qrels, groups: Mapping[str, str]) -> Qrels:
    """Return judgements of groups: each has the highest judgement of its passages."""
    found: Qrels = {}
    for query, judged in qrels.items():
        best: dict[str, int] = {}
        for passage, grade in judged.items():
            best[groups[passage]] = max(grade, best.get(groups[passage], grade))
        found[query] = best
    return found


def ndcg_by_query(run: Run, data: RetrievalSet) -> dict[str, float]:
    """Return the nDCG@10 of each query of a run, read by group."""
    groups = group_of(data.corpus)
    measured = evaluate_run(grouped_run(run, groups), grouped_qrels(data.qrels, groups), (10,))
    return {query: row[DECIDING_METRIC] for query, row in measured.items()}


def mean_ndcg(run: Run, data: RetrievalSet) -> float:
    """Return the mean nDCG@10 of a run, read by group."""
    values = ndcg_by_query(run, data).values()
    return math.fsum(values) / len(values)


def search_depth(groups: Mapping[str, str], k: int) -> int:
    """Return how many passages have to be found to be sure of k groups, at most `DEEPEST` times k.

    The first k - 1 groups of a ranking have at most as many passages as the k - 1 largest groups.
    """
    sizes: dict[str, int] = {}
    for group in groups.values():
        sizes[group] = sizes.get(group, 0) + 1
    largest = sorted(sizes.values(), reverse=True)[: k - 1]
    return max(k, min(sum(largest) + 1, DEEPEST * k))
