"""Replies that were paid for, kept on disk: how a run resumes, and how a recorded run replays."""

import gzip
import hashlib
import json
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from embedtune.core.errors import ArtifactError, InputError
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
COLUMNS = ("key", "prompt", "model", "parameters", "schema_hash", "text", "prompt_tokens", "completion_tokens")
INSERT = f"INTO replies ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{name}' for name in COLUMNS)})"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Request:
    """All that decides what an endpoint replies. Address, key, prices and pace do not.

    Attributes:
        prompt: Name of the prompt, for messages; its text is in `messages`, so the name is not in the key.
        model: Name of the model.
        parameters: Sampling parameters.
        schema: Strict JSON schema of the reply.
        messages: The chat.
    """

    prompt: str
    model: str
    parameters: Mapping[str, float | int | None]
    schema: Mapping[str, Any]
    messages: Sequence[Mapping[str, str]]

    @cached_property
    def key(self) -> str:
        """Identity of the request: sha256 in hex."""
        return _sha256(
            _canonical(
                {
                    "model": self.model,
                    "parameters": self.parameters,
                    "schema": self.schema,
                    "messages": [dict(message) for message in self.messages],
                }
            )
        )

    @property
    def origin(self) -> "Origin":
        """What recorded replies to the same prompt are compared with."""
        return Origin(self.model, _canonical(self.parameters), _sha256(_canonical(self.schema))[:16])


@dataclass(frozen=True, order=True)
class Origin:
    """Where a reply came from, without the messages."""

    model: str
    parameters: str
    schema_hash: str


@dataclass(frozen=True)
class CachedReply:
    """A validated reply.

    Attributes:
        text: JSON of the schema that was asked for.
        prompt_tokens: Tokens it cost to send, repairs included.
        completion_tokens: Tokens it cost to receive, repairs included.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int


class _Header(BaseModel):
    """The first line of a recording."""

    format: Literal["embedtune-recording"] = FORMAT
    version: Literal[1] = VERSION
    header: dict[str, Any]


class _Row(BaseModel):
    """Every other line of a recording: one reply."""

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
    """A sqlite file of replies; each is committed before it is used, so that a killed process loses none.

    A power cut may take the replies of the last `SYNC_EVERY_S` seconds, as it takes those under way. Belongs to
    the thread that made it. Several processes may share the file.

    Args:
        path: The file; it and its folder are created.

    Raises:
        ArtifactError: The file is not a cache of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._synced = time.monotonic()
        self._db = sqlite3.connect(path, timeout=60.0, isolation_level=None)
        try:
            # NORMAL: a commit is a write without a sync, which on a busy disk can hold up all calls for a second.
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._check_version()
            self._db.execute(TABLE)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ArtifactError(
                f"the cache of LLM replies {path} is damaged",
                got=str(error),
                fix="move it away and run again; the replies in it will be asked for again",
            ) from error

    def _check_version(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            self._db.close()
            raise ArtifactError(
                f"the cache of LLM replies {self.path} is of another version",
                got=version,
                expected=VERSION,
                fix="use the version of embedtune that wrote it, or move it away",
            )
        if version == 0:
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

    def get(self, key: str) -> CachedReply | None:
        """Return the reply to the request with this key, if there is one."""
        query = "SELECT text, prompt_tokens, completion_tokens FROM replies WHERE key = ?"
        row = self._db.execute(query, (key,)).fetchone()
        return None if row is None else CachedReply(*row)

    def put(self, request: Request, reply: CachedReply) -> None:
        """Keep a validated reply: whatever ends this process after that, it is there."""
        origin = request.origin
        row = _Row(
            key=request.key,
            prompt=request.prompt,
            model=origin.model,
            parameters=origin.parameters,
            schema_hash=origin.schema_hash,
            text=reply.text,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
        )
        self._db.execute(f"INSERT OR REPLACE {INSERT}", row.model_dump())
        if time.monotonic() - self._synced >= SYNC_EVERY_S:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")  # syncs the log, then the file
            self._synced = time.monotonic()

    def origins(self, prompt: str) -> list[Origin]:
        """Return where the kept replies to a prompt came from."""
        query = "SELECT DISTINCT model, parameters, schema_hash FROM replies WHERE prompt = ?"
        return sorted(Origin(*row) for row in self._db.execute(query, (prompt,)))

    def export(self, path: Path, header: Mapping[str, Any]) -> None:
        """Write all replies as a recording: gzip JSON lines, the same bytes for the same content.

        Args:
            path: The file to write; it is replaced at once, when complete.
            header: What a reader should know: model, date, licence, prompt hashes.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        with draft.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as stream:
            first = _Header(header=dict(header)).model_dump()
            stream.write(f"{_canonical(first)}\n".encode())
            for row in self._db.execute(f"SELECT {', '.join(COLUMNS)} FROM replies ORDER BY key"):  # noqa: S608
                stream.write(f"{_canonical(dict(zip(COLUMNS, row, strict=True)))}\n".encode())
        draft.replace(path)

    def import_recording(self, path: Path) -> dict[str, Any]:
        """Load a recording; a reply that is already here stays. Returns the header.

        Raises:
            InputError: The file is not a recording, or is damaged; nothing of it is loaded then.
        """
        try:
            with gzip.open(path, "rt", encoding="utf-8") as stream:
                header = _read_header(path, stream.readline())
                with self._db:
                    self._db.execute("BEGIN IMMEDIATE")
                    rows = (row.model_dump() for row in _rows(path, stream))
                    self._db.executemany(f"INSERT OR IGNORE {INSERT}", rows)
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read as a recording", got=printable(str(error))) from error
        return header


def _read_header(path: Path, line: str) -> dict[str, Any]:
    try:
        return _Header.model_validate_json(line).header
    except ValidationError:
        raise InputError(
            f"{path} is not a recording of this version",
            got=printable(line, 100),
            expected=f"{FORMAT} version {VERSION}",
        ) from None


def _rows(path: Path, lines: Iterator[str]) -> Iterator[_Row]:
    for number, line in enumerate(lines, start=2):
        try:
            yield _Row.model_validate_json(line)
        except ValidationError as error:
            reason = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise InputError(f"{path} is damaged at line {number}", got=printable(reason)) from error
