"""Reads record files: every row is a document with a title, an id and metadata from the columns that are named."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from embedtune.core.config.records import RecordFormat, RecordSettings
from embedtune.core.errors import InputError
from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.encodings import Remark, ignore
from embedtune.ingest.entries import Entry, Unread
from embedtune.ingest.readers import html, markdown, plain
from embedtune.ingest.readers.rows import Row, csv_rows, jsonl_rows, parquet_rows
from embedtune.ingest.readers.xlsx import xlsx_rows

RowSource = Callable[[Path, Remark], Iterator[Row | Unread]]
ROWS: dict[str, RowSource] = {
    ".jsonl": jsonl_rows,
    ".ndjson": jsonl_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": parquet_rows,
    ".xlsx": xlsx_rows,
}
PEEK = 1000  # rows whose columns are looked at; records of JSON need not all have the same ones
SHOWN = 40  # columns that a message lists
# Names that such columns usually have, the best first; compared without case.
TEXT_NAMES = ("text", "content", "body", "description", "page_content", "answer")
TITLE_NAMES = ("title", "subject", "summary", "headline", "question", "name")
ID_NAMES = ("_id", "id", "key", "issue key", "issue_key", "ticket_id", "ticket id", "doc_id", "uuid", "url")


def read(path: Path, settings: RecordSettings | None) -> Iterator[Entry | Unread]:
    """Yield the records of a file; a record that repeats an id, or has no text, is named with the reason.

    Args:
        path: A file with one of the extensions in `ROWS`.
        settings: Its columns. None: columns with usual names are used, and a remark says which.

    Raises:
        UnreadableError: The text column is not named and cannot be told, or the file is damaged.
    """
    remarks: list[str] = []
    if settings is None:
        settings = _guess(columns_of(path))
        remarks.append(f"columns guessed: {_told(settings)} (ingest.records names them)")
    seen: set[bytes] = set()
    for number, row in enumerate(ROWS[path.suffix.lower()](path, remarks.append), 1):
        entry = row if isinstance(row, Unread) else _entry(row, number, settings)
        if isinstance(entry, Entry):
            digest = hashlib.blake2b(entry.key.encode(), digest_size=8).digest()
            if digest in seen:
                what = "the id of an earlier record" if settings.id else "an earlier record"
                entry = Unread(f"{entry.key} (record {number})", f"repeats {what}")
            else:
                seen.add(digest)
                entry = replace(entry, remarks=tuple(dict.fromkeys(remarks)))
                remarks.clear()
        yield entry


def columns_of(path: Path) -> list[str]:
    """Return the columns of the first records, in their order; those inside objects with dots.

    Raises:
        UnreadableError: There is no record.
    """
    found: dict[str, None] = {}
    first = ""
    try:
        for row in itertools.islice(ROWS[path.suffix.lower()](path, ignore), PEEK):
            if isinstance(row, Unread):
                first = first or f": {row.key} is {row.reason}"
            else:
                found.update(dict.fromkeys(_names(row, "")))
    except UnreadableError:  # said again when it is read; what comes before the damage is used
        if not found:
            raise
    if not found:
        raise UnreadableError(f"no record found{first}")
    return list(found)


def _names(value: object, prefix: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _names(inner, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for item in value:
            yield from _names(item, prefix)
    elif prefix:
        yield prefix


def require_columns(name: str, path: Path, settings: RecordSettings) -> None:
    """Check that a file has the columns that its settings name.

    Raises:
        InputError: It does not, or cannot be read; the error lists the columns found.
    """
    found = columns_of(path)
    wanted = [*settings.text, *filter(None, (settings.title, settings.id)), *settings.metadata]
    parents = {column[:place] for column in found for place, char in enumerate(column) if char == "."}
    missing = [column for column in wanted if column not in found and column not in parents]
    if missing:
        raise InputError(
            f"{name} has no column {', '.join(missing)}, which ingest.records names for {settings.files}",
            got=_listed(found),
            expected="columns of the file",
            fix="correct ingest.records; an entry with its own pattern may come first",
        )


def _guess(columns: list[str]) -> RecordSettings:
    by_name = {column.lower(): column for column in reversed(columns)}
    text, title, key = (
        next((by_name[name] for name in names if name in by_name), None)
        for names in (TEXT_NAMES, TITLE_NAMES, ID_NAMES)
    )
    if text is None:
        raise UnreadableError(f"text column not known: name it in ingest.records; columns: {_listed(columns)}")
    return RecordSettings(text=(text,), title=title, id=key)


def _listed(columns: list[str]) -> str:
    more = f", and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    return ", ".join(columns[:SHOWN]) + more


def _told(settings: RecordSettings) -> str:
    roles = {"text": settings.text[0], "title": settings.title, "id": settings.id}
    return ", ".join(f"{role} from {column}" for role, column in roles.items() if column)


def _entry(row: Row, number: int, settings: RecordSettings) -> Entry | Unread:
    """Return a record as a document, or why it is none."""
    here = f"record {number}"
    key = " ".join(_texts(_lookup(row, settings.id))) if settings.id else ""
    if settings.id and not key:
        return Unread(here, f"no id in column {settings.id}")
    here = key or here
    sections: dict[str, str] = {}
    for column in settings.text:
        value = _lookup(row, column)
        if _is_nested(value):
            return Unread(here, f"column {column} holds objects, not text")
        if text := "\n\n".join(_texts(value)):
            sections[column] = text
    if not sections:
        return Unread(here, f"no text in {', '.join(settings.text)}")
    title = " ".join(_texts(_lookup(row, settings.title))) if settings.title else ""
    found = {column: ", ".join(_texts(_lookup(row, column))) for column in settings.metadata}
    metadata = {column: value for column, value in found.items() if value}
    if not key:
        content = json.dumps([title, sections, metadata], ensure_ascii=False)
        key = hashlib.sha256(content.encode()).hexdigest()[:12]
    return Entry(key, list(_blocks(title, sections, settings)), metadata)


def _blocks(title: str, sections: Mapping[str, str], settings: RecordSettings) -> Iterator[Block]:
    depth = int(bool(title))
    if title:
        yield Block("heading", title, 1)
    for column, text in sections.items():
        if len(settings.text) > 1:
            yield Block("heading", column, depth + 1)
        below = depth + int(len(settings.text) > 1)
        for block in _formatted(text, settings.format, titled=below > 0):
            yield replace(block, level=block.level + below) if block.kind == "heading" else block


def _formatted(text: str, form: RecordFormat, *, titled: bool) -> list[Block]:
    if form == "html":
        return html.html_blocks(text)
    if form == "markdown":
        return markdown.read(text.encode())
    return plain.plain_blocks(text, titled=titled)


def _lookup(value: Any, column: str) -> Any:
    """Return the value of a column; with dots, of one inside an object, or inside each object of a list."""
    if isinstance(value, list):
        found = [inner for item in value if (inner := _lookup(item, column)) is not None]
        return found or None
    if not isinstance(value, Mapping):
        return None
    if column in value:
        return value[column]
    head, _, rest = column.partition(".")
    return _lookup(value[head], rest) if rest and head in value else None


def _is_nested(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(map(_is_nested, value)))


def _texts(value: object) -> list[str]:
    """Return what a value says, without what is empty: the items of a list one by one, an object as JSON."""
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if value is None or value != value:  # NaN
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    text = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, Mapping) else str(value)
    # JSON can hold halves of surrogate pairs, which no file can.
    text = text.encode("utf-8", "replace").decode().strip()
    return [text] if text else []
