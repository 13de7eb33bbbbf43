"""The documents of files that hold more than one, such as the records of a table and the messages of a mailbox."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embedtune.core.config.records import RecordSettings
from embedtune.ingest.blocks import Block, Extract


@dataclass(frozen=True)
class Entry:
    """A document of such a file, as blocks.

    Args:
        key: What tells it from the other documents of its file, and stays the same in the next export.
        blocks: Its content; a title is the first heading.
        metadata: What is kept with it.
        remarks: What its user should know.
    """

    key: str
    blocks: list[Block]
    metadata: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unread:
    """A document of a file that is not used, and the reason; the others are."""

    key: str
    reason: str


@dataclass(frozen=True)
class Found:
    """A document as text.

    Args:
        key: Empty if it is the only one in its file; else its key.
        extract: Its text.
        metadata: What is kept with it.
    """

    key: str
    extract: Extract
    metadata: Mapping[str, str] = field(default_factory=dict)

    def name(self, file: str) -> str:
        """Return the path of the document: that of its file, followed by `#` and its key if there are several."""
        return f"{file}#{self.key}" if self.key else file

    def sha256(self, of_file: str) -> str:
        """Return the hash of its content: that of its file, or if there are several, of its text and metadata."""
        if not self.key:
            return of_file
        content = json.dumps([self.extract.text, sorted(self.metadata.items())], ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()


# Opens a file that holds several documents, and yields them without reading all of it into memory.
Collection = Callable[[Path, RecordSettings | None], Iterator[Entry | Unread]]
