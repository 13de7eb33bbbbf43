"""Extracts the text of files, using the tables of formats."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from embedtune.core.config.records import RecordSettings
from embedtune.core.errors import EmbedtuneError
from embedtune.ingest.blocks import Block, UnreadableError, assemble
from embedtune.ingest.encodings import Remark
from embedtune.ingest.entries import Collection, Entry, Found, Unread
from embedtune.ingest.readers import docx, html, markdown, pdf, plain, records, rst

Reader = Callable[[bytes, Remark], list[Block]]
READERS: dict[str, Reader] = {
    ".md": markdown.read,
    ".markdown": markdown.read,
    ".rst": rst.read,
    ".txt": plain.read,
    ".text": plain.read,
    ".html": html.read,
    ".htm": html.read,
    ".pdf": pdf.read,
    ".docx": docx.read,
}
# Files that hold several documents. They are read piece by piece, so that their size has no limit.
COLLECTIONS: dict[str, Collection] = {
    ".jsonl": records.read,
    ".ndjson": records.read,
    ".csv": records.read,
    ".tsv": records.read,
    ".parquet": records.read,
}


def record_settings(name: str, settings: tuple[RecordSettings, ...]) -> RecordSettings | None:
    """Return the first settings whose pattern fits a file's path in the folder, None if there are none."""
    return next((item for item in settings if fnmatchcase(name, item.files)), None)


def read_documents(name: str, path: Path, settings: tuple[RecordSettings, ...]) -> Iterator[Found | Unread]:
    """Yield the documents of a file, one after the other.

    Args:
        name: Its path relative to the folder, for the patterns of the settings.
        path: A file with one of the extensions in `READERS` or `COLLECTIONS`.
        settings: How records are read (`ingest.records`).

    Raises:
        UnreadableError: The file, or the rest of it, cannot be read; `what` is the reason.
    """
    suffix = PurePosixPath(name).suffix.lower()
    with _told(suffix):
        if suffix in READERS:
            remarks: list[str] = []
            blocks = READERS[suffix](path.read_bytes(), remarks.append)
            yield _found(Entry("", blocks, remarks=tuple(dict.fromkeys(remarks))))
            return
        for entry in COLLECTIONS[suffix](path, record_settings(name, settings)):
            yield entry if isinstance(entry, Unread) else _found(entry)


def check_columns(name: str, path: Path, settings: tuple[RecordSettings, ...]) -> None:
    """Check that a file of records has the columns that the settings name for it.

    Args:
        name: Its path relative to the folder, for the patterns of the settings.
        path: A file with one of the extensions in `COLLECTIONS`.
        settings: How records are read (`ingest.records`).

    Raises:
        InputError: It does not have them.
        UnreadableError: It cannot be read.
    """
    named = record_settings(name, settings)
    if named is not None:
        with _told(path.suffix.lower()):
            records.require_columns(name, path, named)


def _found(entry: Entry) -> Found:
    return Found(entry.key, replace(assemble(entry.blocks), remarks=entry.remarks), entry.metadata)


@contextmanager
def _told(suffix: str) -> Iterator[None]:
    """Turn whatever a reader raises into an `UnreadableError`."""
    try:
        yield
    except (EmbedtuneError, MemoryError):
        raise
    except OSError as error:
        raise UnreadableError(f"cannot be opened: {error.strerror}") from error
    except RecursionError as error:
        raise UnreadableError("nested too deeply") from error
    except Exception as error:  # whatever a library raises on a damaged file, the others are still read
        raise UnreadableError(f"damaged {suffix}: {type(error).__name__}: {error}"[:200]) from error
