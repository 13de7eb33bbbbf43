"""The statements that must be true of a dataset before anything is trained or measured on it."""

from dataclasses import dataclass
from itertools import combinations

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.config.split import SplitSettings
from embedtune.core.errors import GateError
from embedtune.core.retrieval.beir import HELD_OUT, SPLITS
from embedtune.core.retrieval.overlap import overlapping, repeated
from embedtune.core.retrieval.shingles import containment, jaccard, shingles
from embedtune.split.dataset import Dataset, Proof

SHOWN = 5


@dataclass(frozen=True)
class Limits:
    """The similarities at or above which two texts are near-duplicates.

    Attributes:
        jaccard: Jaccard of the word-5-grams of two passages.
        containment: Or the share of the smaller passage's word-5-grams that the other contains.
        query_jaccard: Jaccard of the word-3-grams of two questions.
    """

    jaccard: float
    containment: float
    query_jaccard: float

    @classmethod
    def of(cls, ingest: IngestSettings, split: SplitSettings) -> "Limits":
        """Return the configured limits."""
        return cls(ingest.near_duplicate_jaccard, ingest.near_duplicate_containment, split.duplicate_similarity)


def prove(dataset: Dataset, limits: Limits, fix: str) -> list[Proof]:
    """Return all proofs of a dataset.

    Args:
        dataset: The dataset to write.
        limits: What counts as a near-duplicate.
        fix: Advice to the user on how to fix a leak.

    Raises:
        GateError: A statement is not true; the message shows examples.
    """
    proofs = [
        judged_passages_exist(dataset),
        queries_are_judged_in_their_split(dataset),
        queries_share_the_split_of_their_passages(dataset),
        no_shared_positive(dataset),
        no_shared_group(dataset),
        no_similar_positive(dataset, limits),
        no_similar_query(dataset, limits),
    ]
    failed = [proof for proof in proofs if proof.violations]
    if failed:
        raise GateError(
            "the dataset leaks or contradicts itself:\n  " + "\n  ".join(map(_explain, failed)),
            got=f"{sum(len(proof.violations) for proof in failed)} violations",
            expected="none",
            fix=fix,
        )
    return proofs


def _explain(proof: Proof) -> str:
    shown = [*proof.violations[:SHOWN]]
    more = len(proof.violations) - len(shown)
    shown += [f"and {more} more"] if more else []
    return f"not true: {proof.name} ({len(proof.violations)} of {proof.checked} checked)" + "".join(
        f"\n    {line}" for line in shown
    )


def judged_passages_exist(dataset: Dataset) -> Proof:
    """Every judged passage is in the corpus."""
    known = {record.id for record in dataset.corpus}
    judged = dataset.positives(*SPLITS)
    absent = (f"{passage} is judged but not in the corpus" for passage in judged if passage not in known)
    return Proof("every judged passage is in the corpus", len(judged), tuple(absent))


def queries_are_judged_in_their_split(dataset: Dataset) -> Proof:
    """Every query has judgements in the split of its metadata, and in no other."""
    split_of = {query.id: query.metadata["split"] for query in dataset.queries}
    judged = [(query, split) for split in SPLITS for query in dataset.qrels[split]]
    wrong = [
        f"{query} is judged in {split} but belongs to {split_of.get(query, 'no split')}"
        for query, split in judged
        if split_of.get(query) != split
    ]
    wrong += [f"{query} has no judgements" for query in sorted(set(split_of) - {query for query, _ in judged})]
    return Proof("every query is judged in its own split only", len(split_of), tuple(wrong))


def queries_share_the_split_of_their_passages(dataset: Dataset) -> Proof:
    """All passages that answer a query, single-hop or multi-hop, belong to the split of the query."""
    split_of = {record.id: record.metadata["split"] for record in dataset.corpus}
    wrong = []
    for split in SPLITS:
        for query, passages in dataset.qrels[split].items():
            found = {passage: split_of.get(passage) for passage in sorted(passages)}
            if set(found.values()) - {split, None}:
                wrong.append(f"{query} of {split} is answered by {found}")
    checked = sum(len(qrels) for qrels in dataset.qrels.values())
    return Proof(
        "every query, multi-hop ones included, is in the split of all its passages", checked, tuple(wrong)
    )


def no_shared_positive(dataset: Dataset) -> Proof:
    """No passage answers both a train query and a dev or test query."""
    train, held_out = dataset.positives("train"), dataset.positives(*HELD_OUT)
    shared = sorted(set(train) & set(held_out))
    return Proof("no dev or test positive is a train positive", len(held_out), tuple(shared))


def no_shared_group(dataset: Dataset) -> Proof:
    """No near-duplicate group contains both a train positive and a dev or test positive."""
    group_of = {record.id: record.metadata["group_id"] for record in dataset.corpus}
    train = {group_of[passage]: passage for passage in dataset.positives("train") if passage in group_of}
    held_out = dataset.positives(*HELD_OUT)
    wrong = (
        f"{passage} and {train[group_of[passage]]} are both in group {group_of[passage]}"
        for passage in held_out
        if group_of.get(passage) in train
    )
    return Proof("no dev or test positive is in the group of a train positive", len(held_out), tuple(wrong))


def no_similar_positive(dataset: Dataset, limits: Limits) -> Proof:
    """No dev or test positive nearly duplicates a train positive; texts are compared exactly, without sketches."""
    train = [passage for passage in dataset.positives("train") if passage in dataset.texts]
    held_out = [passage for passage in dataset.positives(*HELD_OUT) if passage in dataset.texts]
    left, right = ([shingles(dataset.texts[p]) for p in side] for side in (train, held_out))
    wrong = [
        f"{train[i]} and {held_out[j]}: Jaccard {jaccard(left[i], right[j]):.2f}, "
        f"containment {containment(left[i], right[j]):.2f}: {_short(dataset.texts[held_out[j]])}"
        for i, j in overlapping(left, right, min(limits.jaccard, limits.containment))
        if jaccard(left[i], right[j]) >= limits.jaccard or containment(left[i], right[j]) >= limits.containment
    ]
    name = "no dev or test positive nearly duplicates a train positive (exact word-5-grams)"
    return Proof(name, len(held_out), tuple(wrong))


def no_similar_query(dataset: Dataset, limits: Limits) -> Proof:
    """No two queries of different splits are the same or nearly the same."""
    by_split = {split: [q for q in dataset.queries if q.metadata["split"] == split] for split in SPLITS}
    texts = {split: [query.text for query in by_split[split]] for split in SPLITS}
    wrong = [
        f"{by_split[a][i].id} ({a}) and {by_split[b][j].id} ({b}): {_short(by_split[a][i].text)}"
        for a, b in combinations(SPLITS, 2)
        for i, j in repeated(texts[a], texts[b], limits.query_jaccard)
    ]
    name = "no query nearly repeats a query of another split (exact word-3-grams)"
    return Proof(name, len(dataset.queries), tuple(wrong))


def _short(text: str, length: int = 80) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"
