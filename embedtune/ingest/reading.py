"""Extracts the text of files, using the table of formats."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from embedtune.ingest.blocks import Block, Extract, UnreadableError, assemble
from embedtune.ingest.encodings import Remark
from embedtune.ingest.readers import docx, html, markdown, pdf, plain, rst

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


def read_document(path: Path) -> Extract:
    """Read one document.

    Args:
        path: A file with one of the extensions in `READERS`.

    Raises:
        UnreadableError: The document cannot be read; `what` is the reason.
    """
    remarks: list[str] = []
    try:
        extract = assemble(READERS[path.suffix.lower()](path.read_bytes(), remarks.append))
    except UnreadableError:
        raise
    except OSError as error:
        raise UnreadableError(f"cannot be opened: {error.strerror}") from error
    except RecursionError as error:
        raise UnreadableError("nested too deeply") from error
    except Exception as error:  # whatever a library raises on a damaged file, the others are still read
        raise UnreadableError(f"damaged {path.suffix}: {type(error).__name__}: {error}"[:200]) from error
    return replace(extract, remarks=tuple(dict.fromkeys(remarks)))
