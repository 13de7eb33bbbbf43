"""Reads source code as listings: one for each group of lines that begins at the margin after an empty line."""

from embedtune.ingest.blocks import Block, UnreadableError
from embedtune.ingest.encodings import Remark, decode, ignore
from embedtune.ingest.readers.blobs import without_blobs

LONGEST_MEAN = 200  # characters per line; code with longer ones was written by a program
_EXTENSIONS = """
.c .h .cc .cpp .cxx .hpp .cs .go .java .kt .kts .scala .groovy .js .mjs .cjs .jsx .ts .tsx .vue .py .pyi .rb .php
.rs .swift .dart .lua .pl .pm .r .jl .hs .ex .exs .erl .clj .sql .sh .bash .zsh .ps1 .proto .graphql .tf
"""
EXTENSIONS = frozenset(_EXTENSIONS.split())


def read(data: bytes, remark: Remark = ignore) -> list[Block]:
    """Read source code. A definition at the margin, with the comment above it, is one listing.

    Raises:
        UnreadableError: It is minified or generated.
    """
    lines = without_blobs(decode(data, remark), remark).expandtabs(4).splitlines()
    filled = [line for line in lines if line.strip()]
    if filled and sum(map(len, filled)) > LONGEST_MEAN * len(filled):
        mean = sum(map(len, filled)) // len(filled)
        raise UnreadableError(f"minified or generated code: lines of {mean} characters on average")
    listings: list[list[str]] = [[]]
    for number, line in enumerate(lines):
        at_margin = bool(line) and not line[0].isspace() and line[0] not in ")]}"
        if at_margin and number and not lines[number - 1].strip() and listings[-1]:
            listings.append([])
        listings[-1].append(line)
    return [Block("code", "\n".join(listing)) for listing in listings]
