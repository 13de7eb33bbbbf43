"""The dataset: a corpus, queries, and judgements for three splits; and the files it is written to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.config.split import SplitSettings
from embedtune.core.records.base import write_record
from embedtune.core.records.split import SPLIT_FILE, ProofResult, SplitProofs
from embedtune.core.retrieval.beir import SPLITS, Qrels, Record, write_qrels, write_records
from embedtune.core.retrieval.hub_card import write_hub_card
from embedtune.core.stage import Outcome

MINING_CORPUS = "passages whose metadata.split is train"


@dataclass(frozen=True)
class Dataset:
    """A dataset to check and write.

    Attributes:
        corpus: Passages; their metadata has group_id, family_id and split.
        queries: Queries; their metadata has split.
        qrels: Judgements, by split.
        texts: The text without headings of each passage, by id; near-duplicates are found in these.
    """

    corpus: Sequence[Record]
    queries: Sequence[Record]
    qrels: Mapping[str, Qrels]
    texts: Mapping[str, str]

    def positives(self, *splits: str) -> list[str]:
        """Return the ids of the passages that answer a query of these splits, sorted."""
        return sorted({passage for split in splits for judged in self.qrels[split].values() for passage in judged})


@dataclass(frozen=True)
class Proof:
    """A statement about the dataset, and whether it is true.

    Attributes:
        name: The statement; it is true if there are no violations.
        checked: Number of things checked.
        violations: Each thing that contradicts it, in words.
    """

    name: str
    checked: int
    violations: tuple[str, ...]


def write_dataset(path: Path, dataset: Dataset, proofs: Sequence[Proof], notes: tuple[str, ...]) -> Outcome:
    """Write the files of a dataset artifact into a directory."""
    write_records(path / "corpus.jsonl", dataset.corpus)
    write_records(path / "queries.jsonl", dataset.queries)
    for split in SPLITS:
        write_qrels(path / "qrels" / f"{split}.tsv", dataset.qrels[split])
    write_hub_card(path, {split: dataset.qrels[split] for split in SPLITS})
    found = counts(dataset)
    results = (ProofResult(name=p.name, checked=p.checked, violations=len(p.violations)) for p in proofs)
    record = SplitProofs(proofs=tuple(results), counts=found, mining_corpus=MINING_CORPUS)
    write_record(path / SPLIT_FILE, record)
    return Outcome(found, {**found, "proofs": len(proofs)}, notes)


def counts(dataset: Dataset) -> dict[str, int]:
    """Count passages, queries and judgements, by split."""
    passages = Counter(record.metadata["split"] for record in dataset.corpus)
    found = {"passages": len(dataset.corpus), "queries": len(dataset.queries)}
    for split in SPLITS:
        found[f"{split}_passages"] = passages[split]
        found[f"{split}_queries"] = len(dataset.qrels[split])
        found[f"{split}_judgements"] = sum(len(judged) for judged in dataset.qrels[split].values())
    return found


def warnings(dataset: Dataset, settings: SplitSettings) -> tuple[str, ...]:
    """Return a warning for each split that is too small for training or for a decision."""
    found = []
    train, dev, test = (len(dataset.qrels[split]) for split in SPLITS)
    if train < settings.min_train_queries:
        found.append(_below("train", train, settings.min_train_queries) + "training may change little")
    if test < settings.min_test_queries:
        found.append(_below("test", test, settings.min_test_queries) + "confidence intervals will be wide")
    if dev == 0:
        found.append("no dev queries: the best checkpoint cannot be chosen")
    return tuple(found)


def _below(split: str, count: int, minimum: int) -> str:
    return f"too few {split} queries ({count}; split.min_{split}_queries is {minimum}): "
