"""The dataset: a corpus, queries and judgements of three splits, and how it is written."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.config.split import SplitSettings
from embedtune.core.retrieval.beir import Qrels, Record, write_qrels, write_records
from embedtune.core.stage import Outcome

SPLITS = ("train", "dev", "test")
HELD_OUT = SPLITS[1:]
MINING_CORPUS = "passages whose metadata.split is train"


@dataclass(frozen=True)
class Dataset:
    """What is to be proved and written.

    Attributes:
        corpus: Passages; metadata holds group_id and split.
        queries: Queries; metadata holds split.
        qrels: Judgements, by split.
        texts: What near-duplicates are judged on, by passage id: the text without its headings.
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
    """Something that was checked.

    Attributes:
        name: What holds if there is no violation.
        checked: How many things were looked at.
        violations: What speaks against it, for a reader.
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
    found = counts(dataset)
    record = {
        "proofs": [{"name": p.name, "checked": p.checked, "violations": len(p.violations)} for p in proofs],
        "counts": found,
        "mining_corpus": MINING_CORPUS,
    }
    (path / "split.json").write_text(json.dumps(record, indent=2) + "\n")
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
    """Say which split is too small to train on, or to decide anything by."""
    found = []
    train, dev, test = (len(dataset.qrels[split]) for split in SPLITS)
    if train < settings.min_train_queries:
        wanted = f"fewer than split.min_train_queries {settings.min_train_queries}"
        found.append(f"{train} train queries, {wanted}: training may change little")
    if test < settings.min_test_queries:
        wanted = f"fewer than split.min_test_queries {settings.min_test_queries}"
        found.append(f"{test} test queries, {wanted}: intervals will be wide")
    if dev == 0:
        found.append("no dev queries: the best checkpoint cannot be chosen")
    return tuple(found)
