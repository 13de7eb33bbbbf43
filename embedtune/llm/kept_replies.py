"""Replies as lines that can be kept elsewhere and brought back into another cache, with what they are about."""

import gzip
import json
import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from embedtune.core.errors import ArtifactError
from embedtune.core.machine_errors import naming
from embedtune.llm.cache import COLUMNS, INSERT, ReplyRow, ResponseCache


class KeptReply(BaseModel):
    """A reply of a cache, and the documents that it is about."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    row: ReplyRow
    documents: tuple[str, ...]


def new_replies(path: Path, known: Collection[str]) -> list[KeptReply]:
    """Return the replies of a cache whose keys are not known, by key; none if there is no cache.

    Args:
        path: The file of a `ResponseCache`, in which other threads and processes may write meanwhile.
        known: Keys to leave out.
    """
    if not path.is_file():
        return []
    with closing(sqlite3.connect(path, timeout=60.0)) as db:
        # Made after `replies`: a cache that is just being created has no replies yet.
        if not db.execute("SELECT name FROM sqlite_master WHERE name = 'documents'").fetchone():
            return []
        keys = [key for (key,) in db.execute("SELECT key FROM replies ORDER BY key") if key not in known]
        return [_reply(db, key) for key in keys]


def add_replies(path: Path, replies: Iterable[KeptReply]) -> None:
    """Bring replies into a cache, all or none; those that it has are kept.

    Args:
        path: The file of a `ResponseCache`; it is created.
        replies: The replies.
    """
    ResponseCache(path).close()
    with naming(path), closing(sqlite3.connect(path, timeout=60.0)) as db, db:
        for reply in replies:
            db.execute(f"INSERT OR IGNORE {INSERT}", reply.row.model_dump())
            rows = [(reply.row.key, document) for document in reply.documents]
            db.executemany("INSERT OR IGNORE INTO documents VALUES (?, ?)", rows)


def pack(replies: Iterable[KeptReply]) -> bytes:
    """Return replies as gzipped JSON lines, the same bytes for the same replies."""
    lines = (json.dumps(reply.model_dump(mode="json"), ensure_ascii=False) + "\n" for reply in replies)
    return gzip.compress("".join(lines).encode(), mtime=0)


def unpack(data: bytes, where: str) -> list[KeptReply]:
    """Return packed replies.

    Args:
        data: What `pack` returned.
        where: Their address, for the error.

    Raises:
        ArtifactError: They are damaged.
    """
    try:
        return [KeptReply.model_validate_json(line) for line in gzip.decompress(data).splitlines()]
    except (OSError, EOFError, ValidationError) as error:
        raise ArtifactError(
            f"kept LLM replies are damaged: {where}",
            got=str(error).splitlines()[0],
            fix="delete the object; the LLM will be asked again for the replies in it",
        ) from error


def _reply(db: sqlite3.Connection, key: str) -> KeptReply:
    row = db.execute(f"SELECT {', '.join(COLUMNS)} FROM replies WHERE key = ?", (key,)).fetchone()  # noqa: S608
    about = db.execute("SELECT doc_id FROM documents WHERE key = ? ORDER BY doc_id", (key,))
    return KeptReply(
        row=ReplyRow.model_validate(dict(zip(COLUMNS, row, strict=True))),
        documents=tuple(document for (document,) in about),
    )
