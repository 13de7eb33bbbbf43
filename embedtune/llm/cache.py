"""Keeps the LLM replies that were paid for on disk, so that a run can resume and a recording can be replayed."""

import gzip
import json
import sqlite3
import time
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from embedtune.core.errors import ArtifactError, EmbedtuneError, InputError
from embedtune.core.machine_errors import naming
from embedtune.llm.cache_key import Origin, RequestIdentity, canonical
from embedtune.llm.errors import printable

VERSION: Final = 1
FORMAT: Final = "embedtune-recording"
SYNC_EVERY_S = 2.0
TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, prompt TEXT NOT NULL, model TEXT NOT NULL, parameters TEXT NOT NULL,
    schema_hash TEXT NOT NULL, text TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL
) WITHOUT ROWID
"""
DOCUMENTS = """
CREATE TABLE IF NOT EXISTS documents (
    key TEXT NOT NULL, doc_id TEXT NOT NULL, PRIMARY KEY (key, doc_id)
) WITHOUT ROWID
"""
COLUMNS = ("key", "prompt", "model", "parameters", "schema_hash", "text", "prompt_tokens", "completion_tokens")
INSERT = f"INTO replies ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{name}' for name in COLUMNS)})"
H = TypeVar("H", bound=BaseModel)


@dataclass(frozen=True)
class CachedReply:
    """A validated reply.

    Attributes:
        text: JSON that satisfies the requested schema.
        prompt_tokens: Tokens it cost to send, repairs included.
        completion_tokens: Tokens it cost to receive, repairs included.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int


class _FirstLine(BaseModel):
    """The first line of a recording; whoever writes the recording defines the header."""

    model_config = ConfigDict(frozen=True)
    format: Literal["embedtune-recording"] = FORMAT
    version: Literal[1] = VERSION
    header: dict[str, JsonValue]


class ReplyRow(BaseModel):
    """A row of the cache, and every line of a recording after the first: one reply."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    prompt: str
    model: str
    parameters: str
    schema_hash: str
    text: str
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class ResponseCache:
    """A sqlite file of replies. Each is committed before it is used, so a killed process loses none.

    A power cut may lose the replies of the last `SYNC_EVERY_S` seconds and those in flight. An instance belongs to
    the thread that created it. Several processes may share the file.

    Args:
        path: The file; it and its directory are created.

    Raises:
        ArtifactError: The file is not a cache of this version.
        EmbedtuneError: The file cannot be opened or written: rights, or a full disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._synced = time.monotonic()
        self._limits: tuple[int | None, ...] | None = None
        # In a notebook, calls run in another thread (event_loop.py), one thread at a time.
        with naming(path):
            self._db = sqlite3.connect(path, timeout=60.0, isolation_level=None, check_same_thread=False)
        try:
            with naming(path):
                # NORMAL: a commit is a write without a sync, which could delay all calls by a second.
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._check_version()
                self._db.execute(TABLE)
                self._db.execute(DOCUMENTS)
        except EmbedtuneError:
            self._db.close()
            raise
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ArtifactError(
                f"the cache of LLM replies is damaged: {path}",
                got=str(error),
                fix="move the file aside and run again; the LLM will be called again for the replies in it",
            ) from error

    def _check_version(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise ArtifactError(
                f"the cache of LLM replies was written by a different version of embedtune: {self.path}",
                got=version,
                expected=VERSION,
                fix="use the version of embedtune that wrote it, or move the file aside",
            )
        # Also if it has that version: a file that may not be written is refused before any call is paid.
        self._db.execute(f"PRAGMA user_version = {VERSION}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __len__(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM replies").fetchone()
        return int(count)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def get(self, identity: RequestIdentity) -> CachedReply | None:
        """Return the reply to a request, or None; those of earlier versions are found under their older keys."""
        found = self._row(identity.key, identity.documents)
        for limit in self._older_limits() if found is None else ():
            found = found or self._row(identity.older_key(limit), identity.documents)
        return found

    def _row(self, key: str, documents: Sequence[str]) -> CachedReply | None:
        query = "SELECT text, prompt_tokens, completion_tokens FROM replies WHERE key = ?"
        row = self._db.execute(query, (key,)).fetchone()
        if row is None:
            return None
        self._note_documents(key, documents)  # replies of earlier versions do not say what they are about
        return CachedReply(*row)

    def _note_documents(self, key: str, documents: Sequence[str]) -> None:
        known = {doc_id for (doc_id,) in self._db.execute("SELECT doc_id FROM documents WHERE key = ?", (key,))}
        if new := [(key, doc_id) for doc_id in documents if doc_id not in known]:
            self._db.executemany("INSERT OR IGNORE INTO documents VALUES (?, ?)", new)

    def _older_limits(self) -> tuple[int | None, ...]:
        """Return the values of max_tokens in the keys of earlier versions; read once, since none are added."""
        if self._limits is None:
            query = "SELECT DISTINCT parameters FROM replies WHERE parameters LIKE '%\"max_tokens\":%'"
            older = [_record(parameters) for (parameters,) in self._db.execute(query)]
            limits = {
                record["max_tokens"] for record in older if isinstance(record.get("max_tokens", ""), int | None)
            }
            self._limits = tuple(sorted(limits, key=lambda limit: (limit is None, limit)))
        return self._limits

    def put(self, identity: RequestIdentity, reply: CachedReply) -> None:
        """Store a validated reply; it survives even if the process is killed right after this call."""
        origin = identity.origin
        row = ReplyRow(
            key=identity.key,
            prompt=identity.prompt,
            model=origin.model,
            parameters=origin.parameters,
            schema_hash=origin.schema_hash,
            text=reply.text,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
        )
        self._note_documents(row.key, identity.documents)
        self._db.execute(f"INSERT OR REPLACE {INSERT}", row.model_dump())
        if time.monotonic() - self._synced >= SYNC_EVERY_S:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")  # syncs the log, then the file
            self._synced = time.monotonic()

    def about(self, documents: Collection[str]) -> list[str]:
        """Return the keys of the replies about documents with these ids, and of those about unknown documents."""
        wanted = set(documents)
        pairs = "SELECT replies.key, doc_id FROM replies LEFT JOIN documents USING (key) ORDER BY replies.key"
        return sorted({key for key, doc_id in self._db.execute(pairs) if doc_id is None or doc_id in wanted})

    def delete(self, keys: Collection[str]) -> None:
        """Delete replies, and overwrite them in the file."""
        self._db.execute("PRAGMA secure_delete = ON")
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for table in ("replies", "documents"):
                self._db.executemany(f"DELETE FROM {table} WHERE key = ?", [(key,) for key in keys])  # noqa: S608
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def origins(self, prompt: str) -> list[Origin]:
        """Return where the stored replies to a prompt came from."""
        query = "SELECT DISTINCT model, parameters, schema_hash FROM replies WHERE prompt = ?"
        rows = self._db.execute(query, (prompt,))
        return sorted({Origin(model, _in_key(parameters), schema) for model, parameters, schema in rows})

    def export(self, path: Path, header: BaseModel) -> None:
        """Write all replies as a recording: gzipped JSON lines, the same bytes for the same content.

        Args:
            path: The file to write; it is replaced in one step once the recording is complete.
            header: The description of the recording: model, date, licence, prompt hashes.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        with draft.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as stream:
            first = _FirstLine(header=header.model_dump(mode="json")).model_dump()
            stream.write(f"{canonical(first)}\n".encode())
            for row in self._db.execute(f"SELECT {', '.join(COLUMNS)} FROM replies ORDER BY key"):  # noqa: S608
                stream.write(f"{canonical(dict(zip(COLUMNS, row, strict=True)))}\n".encode())
        draft.replace(path)

    def import_recording(self, path: Path, header_type: type[H]) -> H:
        """Load a recording; replies that are already in the cache are kept. Returns the header.

        Args:
            path: The recording.
            header_type: The expected type of the header.

        Raises:
            InputError: The file is not such a recording, or is damaged; then nothing is loaded from it.
        """
        try:
            with gzip.open(path, "rt", encoding="utf-8") as stream:
                header = _read_header(path, stream.readline(), header_type)
                with self._db:
                    self._db.execute("BEGIN IMMEDIATE")
                    rows = (row.model_dump() for row in _rows(path, stream))
                    self._db.executemany(f"INSERT OR IGNORE {INSERT}", rows)
                self._limits = None
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read as a recording", got=printable(str(error))) from error
        return header


def _in_key(parameters: str) -> str:
    """Return the part of stored parameters that is in the key; in earlier versions, max_tokens was."""
    return canonical({name: value for name, value in _record(parameters).items() if name != "max_tokens"})


def _record(parameters: str) -> dict[str, Any]:  # what a recording calls parameters, which may be anything
    try:
        record = json.loads(parameters)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _read_header(path: Path, line: str, header_type: type[H]) -> H:
    try:
        first = _FirstLine.model_validate_json(line)
    except ValidationError:
        raise InputError(
            f"{path} is not a recording of this version",
            got=printable(line, 100),
            expected=f"{FORMAT} version {VERSION}",
        ) from None
    try:
        return header_type.model_validate(first.header)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(
            f"{path} is a recording of a different kind",
            got=printable(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"),
            expected="a file that `embedtune record` of this version wrote",
        ) from error


def _rows(path: Path, lines: Iterator[str]) -> Iterator[ReplyRow]:
    for number, line in enumerate(lines, start=2):
        try:
            yield ReplyRow.model_validate_json(line)
        except ValidationError as error:
            reason = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise InputError(f"{path} is damaged at line {number}", got=printable(reason)) from error
