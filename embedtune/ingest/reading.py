"""Extracts the text of files, using the table of formats."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedtune.ingest.blocks import Block, Extract, UnreadableError, assemble
from embedtune.ingest.readers import docx, html, markdown, pdf, plain, rst


@dataclass(frozen=True)
class Reader:
    """The reader of one format.

    Args:
        read: Turns the bytes of a file into blocks.
        failures: The exceptions that its library raises on damaged input.
    """

    read: Callable[[bytes], list[Block]]
    failures: tuple[type[Exception], ...]


_MARKDOWN = Reader(markdown.read, markdown.FAILURES)
_TEXT = Reader(plain.read, plain.FAILURES)
_HTML = Reader(html.read, html.FAILURES)
READERS: dict[str, Reader] = {
    ".md": _MARKDOWN,
    ".markdown": _MARKDOWN,
    ".rst": Reader(rst.read, rst.FAILURES),
    ".txt": _TEXT,
    ".text": _TEXT,
    ".html": _HTML,
    ".htm": _HTML,
    ".pdf": Reader(pdf.read, pdf.FAILURES),
    ".docx": Reader(docx.read, docx.FAILURES),
}


def read_document(path: Path) -> Extract:
    """Read one document.

    Args:
        path: A file with one of the extensions in `READERS`.

    Raises:
        UnreadableError: The document cannot be read; `what` is the reason.
    """
    reader = READERS[path.suffix.lower()]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be opened: {error.strerror}") from error
    try:
        return assemble(reader.read(data))
    except UnreadableError:
        raise
    except RecursionError as error:
        raise UnreadableError("nested too deeply") from error
    except reader.failures as error:
        raise UnreadableError(f"damaged {path.suffix}: {type(error).__name__}: {error}"[:200]) from error
