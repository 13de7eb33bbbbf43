"""The BEIR layout: corpus.jsonl, queries.jsonl and qrels/*.tsv, readable by any BEIR or MTEB tool."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from embedtune.core.errors import InputError

Qrels = dict[str, dict[str, int]]
SPLITS = ("train", "dev", "test")
HELD_OUT = SPLITS[1:]
QRELS_HEADER = ("query-id", "corpus-id", "score")


@dataclass(frozen=True)
class Record:
    """A passage or a query: one line of BEIR's corpus.jsonl or queries.jsonl.

    BEIR calls these records; they have no schema version, unlike the records in `embedtune.core.records`.

    Args:
        id: Its unique id.
        text: Its text; for a passage, the complete string that is embedded.
        metadata: Additional fields, which BEIR allows but does not define.
    """

    id: str
    text: str
    metadata: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class RetrievalSet:
    """A corpus, the queries of one split, and which passages answer them."""

    corpus: list[Record]
    queries: list[Record]
    qrels: Qrels


def read_records(path: Path) -> list[Record]:
    """Read corpus.jsonl or queries.jsonl; a title is prepended to the text, as BEIR does.

    Raises:
        InputError: The file is missing, or a line is wrong; the error names the line.
    """
    return list(_records(path))


def _records(path: Path) -> Iterator[Record]:
    if not path.is_file():
        raise InputError("a file of the retrieval set is missing", got=str(path), expected="the BEIR layout")
    seen: set[str] = set()
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)  # in BEIR's format
                record = Record(
                    str(row["_id"]),
                    f"{row.get('title') or ''} {row['text']}".strip(),
                    row.get("metadata") or {},
                )
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    f"{path}:{number} is not a BEIR record", got=line[:80], expected='{"_id": …, "text": …}'
                ) from error
            if record.id in seen:
                raise InputError(f"{path}:{number} repeats an id", got=record.id, expected="unique ids")
            seen.add(record.id)
            yield record


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write corpus.jsonl or queries.jsonl; titles are empty, since `text` is the complete embedded string."""
    with path.open("w", encoding="utf-8") as stream:
        for record in records:
            row = {"_id": record.id, "title": "", "text": record.text, "metadata": record.metadata}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_qrels(path: Path) -> Qrels:
    """Read a qrels file with the BEIR header; judgements of 0 are left out.

    Raises:
        InputError: The file is missing, or a row is not `query-id corpus-id score`.
    """
    if not path.is_file():
        raise InputError(
            "the relevance judgements of the retrieval set are missing",
            got=str(path),
            expected="qrels/<split>.tsv",
        )
    qrels: Qrels = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.reader(stream, delimiter="\t"), 1):
            if not row or (number == 1 and row[0] == QRELS_HEADER[0]):
                continue
            try:
                query_id, passage_id, score = row[0], row[1], int(row[2])
            except (IndexError, ValueError) as error:
                raise InputError(
                    f"{path}:{number} is not a relevance judgement", got=row, expected="query-id corpus-id score"
                ) from error
            if score > 0:
                qrels.setdefault(query_id, {})[passage_id] = score
    return qrels


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write a qrels file with the BEIR header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(QRELS_HEADER)
        for query_id, passages in qrels.items():
            writer.writerows((query_id, passage_id, score) for passage_id, score in passages.items())


def read_retrieval_set(directory: Path, split: str) -> RetrievalSet:
    """Read one split of a BEIR directory; only queries that have a judgement are kept.

    Raises:
        InputError: A file is missing, or a judgement refers to an unknown query or passage.
    """
    corpus = read_records(directory / "corpus.jsonl")
    queries = read_records(directory / "queries.jsonl")
    qrels = read_qrels(directory / "qrels" / f"{split}.tsv")
    unknown = sorted(set(qrels) - {query.id for query in queries})
    if unknown:
        raise InputError(f"{directory} has judgements of unknown queries", got=unknown[:3])
    passages = {record.id for record in corpus}
    absent = sorted({p for judged in qrels.values() for p in judged} - passages)
    if absent:
        raise InputError(f"{directory} has judgements of unknown passages", got=absent[:3])
    return RetrievalSet(corpus, [query for query in queries if query.id in qrels], qrels)
