"""Imports a user's labelled data in the BEIR layout as a dataset artifact, with the same proofs."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from embedtune.core.artifacts import StageReport, file_sha256
from embedtune.core.config.config import Config
from embedtune.core.config.ingest import IngestSettings
from embedtune.core.errors import ConfigError, InputError
from embedtune.core.retrieval.beir import HELD_OUT, SPLITS, Qrels, Record, read_qrels, read_records
from embedtune.core.retrieval.hub_files import files_of
from embedtune.core.retrieval.passage_groups import group_of, in_groups
from embedtune.core.retrieval.shingles import words
from embedtune.core.stage import Context, Outcome, StageRun
from embedtune.split.dataset import Dataset, warnings, write_dataset
from embedtune.split.held_out import hold_out
from embedtune.split.proofs import Limits, prove
from embedtune.split.usable import (
    passage_metadata,
    query_metadata,
    refuse_copies,
    require_train,
    unjudged,
    unread_files,
    without_empty,
)

FIX = (
    "remove the queries that leak from qrels/train.tsv, or remove qrels/dev.tsv and qrels/test.tsv: dev and test "
    "queries are then taken from the train queries so that nothing leaks"
)


def import_labelled(dataset_dir: Path, output: Path, context: Context) -> StageReport:
    """Check a BEIR directory and write it as a dataset artifact; ids and judgements are not changed.

    The directory must contain corpus.jsonl, queries.jsonl and qrels/train.tsv, or Parquet files as the hub has
    them. If qrels/dev.tsv or qrels/test.tsv is missing, its share of the queries, as configured, is taken from the
    train queries. Passages that answer dev or test queries, and their near-duplicates, are kept out of the mining
    corpus.

    Args:
        dataset_dir: The user's directory.
        output: Directory to write the dataset artifact to.
        context: The configuration and everything else that the stage runs with.

    Raises:
        ConfigError: There are split.human_pairs.
        InputError: A file is missing or wrong, or a judgement refers to an unknown query or passage.
        GateError: Something leaks between splits.
    """
    if context.config.split.human_pairs:
        raise ConfigError(
            "split.human_pairs places answers in documents, which labelled data does not have",
            fix="add the questions to qrels/train.tsv and queries.jsonl, or remove split.human_pairs",
        )
    this = StageRun("split", output, context, module="labelled")
    inputs = labelled_inputs(dataset_dir, context.config.ingest)
    return this.write(inputs, lambda path: _import(dataset_dir, path, context))


def _import(dataset_dir: Path, path: Path, context: Context) -> Outcome:
    config = context.config
    with context.progress.task("import", 3, "steps") as task:
        corpus = read_records(dataset_dir / "corpus.jsonl")
        queries = read_records(dataset_dir / "queries.jsonl")
        given = {
            split: read_qrels(dataset_dir / "qrels" / f"{split}.tsv")
            for split in SPLITS
            if split == "train" or files_of(dataset_dir / "qrels" / f"{split}.tsv")
        }
        _require_known(given, corpus, queries)
        unread = unread_files(dataset_dir) + unjudged(queries, given)
        corpus, queries, given, left_out = without_empty(corpus, queries, given)
        require_train(given["train"])
        left_out += refuse_copies(corpus, queries, given["train"])
        task.advance()
        corpus = in_groups(_own_metadata(corpus), config.ingest, context.progress)
        groups = group_of(corpus)
        qrels, notes = _complete(given, queries, groups, config)
        dataset = _assemble(corpus, queries, qrels, groups)
        task.advance()
        proofs = prove(dataset, Limits.of(config.ingest, config.split), FIX)
        outcome = write_dataset(path, dataset, proofs, unread + left_out + notes + warnings(dataset, config.split))
        task.advance()
    return outcome


def labelled_inputs(dataset_dir: Path, ingest: IngestSettings) -> dict[str, str]:
    """Return what the dataset depends on in addition to split's settings: the user's files, ingest's settings."""
    names = ("corpus.jsonl", "queries.jsonl", *(f"qrels/{split}.tsv" for split in SPLITS))
    found = {file for name in names for file in files_of(dataset_dir / name)}
    files = {file.relative_to(dataset_dir).as_posix(): file_sha256(file) for file in found}
    return {
        "dataset": hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest(),
        "ingest_settings": hashlib.sha256(ingest.model_dump_json().encode()).hexdigest(),
    }


def _require_known(given: Mapping[str, Qrels], corpus: list[Record], queries: list[Record]) -> None:
    known_queries = {record.id for record in queries}
    known_passages = {record.id for record in corpus}
    for split, qrels in given.items():
        if unknown := sorted(set(qrels) - known_queries):
            raise InputError(f"qrels/{split}.tsv judges queries that are not in queries.jsonl", got=unknown[:3])
        if unknown := sorted({p for judged in qrels.values() for p in judged} - known_passages):
            raise InputError(f"qrels/{split}.tsv judges passages that are not in corpus.jsonl", got=unknown[:3])


def _complete(
    given: Mapping[str, Qrels], queries: list[Record], groups: Mapping[str, str], config: Config
) -> tuple[dict[str, Qrels], tuple[str, ...]]:
    """Take the splits that were not given from the train queries."""
    missing = [split for split in HELD_OUT if split not in given]
    if not missing:
        return dict(given), ()
    wanted = {"train": config.ingest.train_share, "dev": config.ingest.dev_share, "test": config.ingest.test_share}
    whole = wanted["train"] + sum(wanted[split] for split in missing)
    found = hold_out(
        [query for query in queries if query.id in given["train"]],
        given["train"],
        groups,
        {split: wanted[split] / whole for split in missing},
        query_jaccard=config.split.duplicate_similarity,
        seed=config.seed,
    )
    notes = tuple(
        f"qrels/{split}.tsv was not given: {len(found[split])} of the train queries became {split}"
        for split in missing
    )
    return {**given, **found}, notes


def _own_metadata(corpus: list[Record]) -> list[Record]:
    """Return the passages with the metadata that the stages read, and what the user gave."""
    return [
        Record(
            record.id,
            record.text,
            {
                "doc_id": record.id,
                "path": record.id,
                "heading": "",
                "n_words": len(words(record.text)),
                "boilerplate": False,
                **passage_metadata(record.metadata),
            },
        )
        for record in corpus
    ]


def _assemble(
    corpus: list[Record], queries: list[Record], qrels: dict[str, Qrels], groups: Mapping[str, str]
) -> Dataset:
    """Add the metadata that the stages read to passages and queries; queries without judgements are left out."""
    split_of_group = {
        groups[passage]: split for split in HELD_OUT for judged in qrels[split].values() for passage in judged
    }
    split_of_query = {query: split for split in SPLITS for query in qrels[split]}
    passages = [
        Record(r.id, r.text, {**r.metadata, "split": split_of_group.get(groups[r.id], "train")}) for r in corpus
    ]
    asked = [
        Record(query.id, query.text, {**query_metadata(query.metadata), "split": split_of_query[query.id]})
        for query in queries
        if query.id in split_of_query
    ]
    return Dataset(passages, asked, qrels, {record.id: record.text for record in corpus})
