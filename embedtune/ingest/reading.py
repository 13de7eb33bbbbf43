"""Files to extracted text: the table of formats."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from embedtune.ingest.blocks import Block, Extract, UnreadableError, assemble
from embedtune.ingest.readers import docx, html, markdown, pdf, plain, rst

READERS: dict[str, ModuleType] = {
    ".md": markdown,
    ".markdown": markdown,
    ".rst": rst,
    ".txt": plain,
    ".text": plain,
    ".html": html,
    ".htm": html,
    ".pdf": pdf,
    ".docx": docx,
}


def read_document(path: Path) -> Extract:
    """Read one document.

    Args:
        path: A file with one of the extensions in `READERS`.

    Raises:
        UnreadableError: It cannot be read; `what` is the reason.
    """
    reader = READERS[path.suffix.lower()]
    read: Callable[[bytes], list[Block]] = reader.read
    failures: tuple[type[Exception], ...] = reader.FAILURES
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be opened: {error.strerror}") from error
    try:
        blocks = read(data)
    except UnreadableError:
        raise
    except RecursionError as error:
        raise UnreadableError("nested too deeply") from error
    except failures as error:
        raise UnreadableError(f"damaged {path.suffix}: {type(error).__name__}: {error}"[:200]) from error
    return assemble(blocks)
