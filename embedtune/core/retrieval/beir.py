"""The BEIR layout: corpus.jsonl, queries.jsonl and qrels/*.tsv, or the hub's files in their place."""

import csv
import gzip
import json
import re
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from embedtune.core.errors import InputError
from embedtune.core.retrieval.hub_files import files_of, parquet_rows

Qrels = dict[str, dict[str, int]]
SPLITS = ("train", "dev", "test")
HELD_OUT = SPLITS[1:]
QRELS_HEADER = ("query-id", "corpus-id", "score")
_HEADERS = frozenset({QRELS_HEADER[0], "qid", "query", "queryid", "topic", "topic-id"})
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?$")
_BREAKS = re.compile("[\t\n\r]")


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
    """Read corpus.jsonl or queries.jsonl, or what is in its place; a title is prepended to the text, as BEIR does.

    Raises:
        InputError: The file is missing, or a line is wrong; the error names the line or row.
    """
    return list(_records(path))


def _records(path: Path) -> Iterator[Record]:
    seen: set[str] = set()
    for place, row in _rows(path):
        try:
            record = _record(json.loads(row) if isinstance(row, str) else row)
        except ValueError as error:
            reason = _not_json(error) if isinstance(error, json.JSONDecodeError) else error
            raise InputError(
                f"{place} is not a BEIR record: {reason}",
                got=str(row).strip()[:80],
                expected='{"_id": "…", "text": "…"}, with "title" and "metadata" if there are any',
            ) from error
        if record.id in seen:
            raise InputError(f"{place} repeats an id", got=record.id, expected="unique ids")
        seen.add(record.id)
        yield record


def _not_json(error: json.JSONDecodeError) -> str:
    if error.msg == "Extra data" and error.doc[error.pos] == "{":
        return f"several JSON objects on one line (the second begins at column {error.colno})"
    return "not JSON"


def _rows(path: Path) -> Iterator[tuple[str, str | Mapping[str, Any]]]:
    """Yield the lines of a file, or the rows of the Parquet files in its place, with their places."""
    found = files_of(path) or [path]
    if found[0].suffix == ".parquet":
        yield from parquet_rows(found)
        return
    (file,) = found
    for number, line in _lines(file, "a file of the retrieval set is missing"):
        yield f"{file}:{number}", line


def _record(row: Any) -> Record:  # in BEIR's format
    if not isinstance(row, dict):
        raise ValueError("it is not an object")
    given = row.get("_id", row.get("id"))
    if not {"_id", "id"} & row.keys():
        raise ValueError(f'there is no "_id", only {", ".join(map(str, row))}'[:200])
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise ValueError("_id is not a string")
    record_id, title, text = str(given), row.get("title") or "", row.get("text")
    if not record_id or _BREAKS.search(record_id):
        raise ValueError("_id is empty, or contains a tab or a line break")
    if "text" not in row:
        raise ValueError(f'there is no "text", only {", ".join(map(str, row))}'[:200])
    if not isinstance(text, str):
        raise ValueError("text is null" if text is None else "text is not a string")
    if not isinstance(title, str):
        raise ValueError("title is not a string")
    if any("\ud800" <= char <= "\udfff" for char in record_id + title + text):
        raise ValueError("it contains half of a surrogate pair")
    metadata = row.get("metadata") or {}
    # BEIR does not define metadata: whatever is not an object is kept under a name of its own.
    return Record(
        record_id, f"{title} {text}".strip(), metadata if isinstance(metadata, dict) else {"metadata": metadata}
    )


def _lines(path: Path, missing: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file that are not blank, with their numbers."""
    if not path.is_file():
        folder = path.parents[1] if path.suffix == ".tsv" else path.parent
        there = sorted(item.name for item in folder.iterdir())[:10] if folder.is_dir() else []
        raise InputError(
            missing,
            got=f"{path}; the folder has: {', '.join(there) or 'nothing'}",
            expected="corpus.jsonl, queries.jsonl and qrels/<split>.tsv, or Parquet in their place",
            fix='write the data in this layout (docs/eval-sets.md, "The BEIR layout")',
        )
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        for number, raw in enumerate(_whole(path, stream), 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                other = (
                    "UTF-16" if number == 1 and raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "WINDOWS-1252"
                )
                raise InputError(
                    f"{path}:{number} is not UTF-8",
                    got=f"byte 0x{raw[error.start]:02x} at position {error.start + 1} of the line: "
                    f"{raw[max(error.start - 20, 0) : error.start + 20]!r}",
                    expected="UTF-8",
                    fix=f"convert it, for example: iconv -f {other} -t UTF-8 {path.name} > converted",
                ) from error
            if line.strip():
                yield number, line


def _whole(path: Path, stream: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file; a compressed one that is damaged is named."""
    try:
        yield from stream
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path} is damaged", got=str(error), fix="download it again") from error


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write corpus.jsonl or queries.jsonl; titles are empty, since `text` is the complete embedded string."""
    with path.open("w", encoding="utf-8") as stream:
        for record in records:
            row = {"_id": record.id, "title": "", "text": record.text, "metadata": record.metadata}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_qrels(path: Path) -> Qrels:
    """Read judgements in BEIR's form (`query-id corpus-id score`) or TREC's (`query 0 passage score`).

    Judgements of 0 are left out. JSONL and Parquet files in its place have fields of BEIR's names.

    Raises:
        InputError: The file is missing, or a row is not a judgement; the error names the line.
    """
    found = files_of(path)
    if found and found[0].suffix == ".parquet":
        return _named_qrels(parquet_rows(found))
    path = found[0] if found else path
    missing = "the relevance judgements of the retrieval set are missing"
    if path.suffix == ".jsonl":
        return _named_qrels((f"{path}:{number}", _parsed(line)) for number, line in _lines(path, missing))
    qrels: Qrels = {}
    for number, line in _lines(path, missing):
        row = _cells(line)
        if not qrels and row[0].lower().replace("_", "-") in _HEADERS and not _NUMBER.match(row[-1]):
            continue
        score = float(row[-1]) if len(row) in (3, 4) and _NUMBER.match(row[-1]) else None
        if score is None or not score.is_integer() or not row[0] or not row[-2]:
            raise InputError(
                f"{path}:{number} is not a relevance judgement",
                got=line.strip()[:80],
                expected="query-id, corpus-id and a whole number, separated by tabs (or TREC's four columns)",
            )
        if score > 0:
            qrels.setdefault(row[0], {})[row[-2]] = int(score)
    return qrels


def _parsed(line: str) -> object:
    """Return what a line holds: the line itself if that is not JSON."""
    try:
        return json.loads(line)
    except ValueError:
        return line.strip()


def _named_qrels(rows: Iterable[tuple[str, object]]) -> Qrels:
    qrels: Qrels = {}
    for place, row in rows:
        fields = row if isinstance(row, Mapping) else {}
        query, passage, score = (fields.get(name, fields.get(name.replace("-", "_"))) for name in QRELS_HEADER)
        whole = isinstance(score, int | float) and float(score).is_integer()
        if not whole or not all(isinstance(key, str | int) and key != "" for key in (query, passage)):
            raise InputError(
                f"{place} is not a relevance judgement",
                got=str(row)[:80],
                expected=f"the fields {', '.join(QRELS_HEADER)}, the score a whole number",
            )
        if score > 0:
            qrels.setdefault(str(query), {})[str(passage)] = int(score)
    return qrels


def _cells(line: str) -> list[str]:
    """Split a row at its tabs, else at white space; a quotation mark that is never closed is part of an id."""
    text = line.rstrip("\r\n")
    if "\t" not in text:
        return text.split()
    try:
        row = next(csv.reader([text], delimiter="\t", strict=True))
    except csv.Error:
        row = text.split("\t")
    return [cell.strip() for cell in row]


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
