"""Extracts the text of files, using the tables of formats."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from embedtune.core.config.records import RecordSettings
from embedtune.core.errors import EmbedtuneError
from embedtune.ingest.blocks import Block, UnreadableError, assemble, with_title
from embedtune.ingest.encodings import Remark
from embedtune.ingest.entries import Collection, Entry, Found, Unread
from embedtune.ingest.readers import (
    docx,
    epub,
    html,
    mail,
    markdown,
    notebook,
    pdf,
    plain,
    pptx,
    records,
    rst,
    source_code,
    xlsx,
)

Reader = Callable[[bytes, Remark], list[Block]]
READERS: dict[str, Reader] = {
    ".md": markdown.read,
    ".markdown": markdown.read,
    ".mdx": markdown.read,
    ".rst": rst.read,
    ".txt": plain.read,
    ".text": plain.read,
    ".html": html.read,
    ".htm": html.read,
    ".pdf": pdf.read,
    ".docx": docx.read,
    ".docm": docx.read,
    ".pptx": pptx.read,
    ".pptm": pptx.read,
    ".ppsx": pptx.read,
    ".ppsm": pptx.read,
    ".xlsx": xlsx.read,
    ".xlsm": xlsx.read,
    ".epub": epub.read,
    ".eml": mail.read,
    ".ipynb": notebook.read,
    **dict.fromkeys(sorted(source_code.EXTENSIONS), source_code.read),
}
# Files that hold several documents. They are read piece by piece, so that their size has no limit.
COLLECTIONS: dict[str, Collection] = {**dict.fromkeys(records.ROWS, records.read), ".mbox": mail.read_mbox}
_SHEETS = ".xlsx"
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"
# What to do about files that people have, in formats that are not read.
HINTS = {
    ".doc": "save it as .docx",
    ".ppt": "save it as .pptx",
    ".xls": "save it as .xlsx",
    ".rtf": "save it as .docx",
    ".dotx": "save it as .docx",
    ".odt": "save it as .docx",
    ".odp": "save it as .pptx",
    ".pages": "export it as .docx",
    ".key": "export it as .pptx",
    ".numbers": "export it as .xlsx",
    ".ods": "save it as .xlsx",
    ".msg": "save it as .eml",
    ".pst": "export it as .mbox",
    ".mobi": "convert it to .epub",
    ".azw3": "convert it to .epub",
    ".fb2": "convert it to .epub",
    ".adoc": "convert it to .html (asciidoctor)",
    ".asciidoc": "convert it to .html (asciidoctor)",
    ".org": "export it as .md",
    ".tex": "convert it to .md (pandoc)",
    ".dita": "publish it as .html",
    ".xlsb": "save it as .xlsx",
    ".json": "write one object per line, as .jsonl",
    ".zip": "unpack it",
    ".gz": "unpack it",
}


def record_settings(name: str, settings: tuple[RecordSettings, ...]) -> RecordSettings | None:
    """Return the first settings whose pattern fits the path of a file of records, None if there are none."""
    if PurePosixPath(name).suffix.lower() not in records.ROWS:
        return None
    return next((item for item in settings if fnmatchcase(name, item.files)), None)


def holds_several(name: str, settings: tuple[RecordSettings, ...]) -> bool:
    """Tell whether a file is read as several documents. Worksheets are, if a pattern for them ends in `.xlsx`."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == _SHEETS:
        named = record_settings(name, settings)
        return named is not None and named.files.lower().endswith(_SHEETS)
    return suffix in COLLECTIONS


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
        _require_content(path)
        if not holds_several(name, settings):
            remarks: list[str] = []
            blocks = READERS[suffix](path.read_bytes(), remarks.append)
            if suffix in source_code.EXTENSIONS:  # its path says what it is about; other formats have titles
                blocks = with_title(blocks, name)
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
            _require_content(path)
            records.require_columns(name, path, named)


def _require_content(path: Path) -> None:
    """Refuse what Git leaves in the place of a large file if it was cloned without Git LFS."""
    with path.open("rb") as stream:
        if stream.read(len(LFS_POINTER)) == LFS_POINTER:
            raise UnreadableError("a pointer of Git LFS, not the file: run `git lfs pull`")


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
