"""Documents to chunks: passages of bounded length that follow the structure of the document."""

import hashlib
from dataclasses import dataclass
from functools import cache

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import ContractError
from embedtune.core.retrieval.shingles import words
from embedtune.ingest.atoms import Room, make_atoms, runs
from embedtune.ingest.blocks import Extract
from embedtune.ingest.layout import Bounds, divide
from embedtune.ingest.tokens import Counter

HEADING_SHARE = 4  # the heading path takes at most one in four of the tokens


@dataclass(frozen=True)
class Chunk:
    """A passage of a document: its text is `extract.text[char_start:char_end]`.

    Args:
        chunk_id: 16 hex digits of the sha256 of the rendered passage: equal passages have equal ids.
        text: Its own text; headings inside it stand in it as lines.
        heading_path: The headings that all of it has in common, outermost first.
        char_start: Where it begins in the extracted text.
        char_end: Where it ends.
        n_words: Words of its text.
        n_tokens: Tokens of the rendered passage, prefix and special tokens included.
    """

    chunk_id: str
    text: str
    heading_path: tuple[str, ...]
    char_start: int
    char_end: int
    n_words: int
    n_tokens: int


class Chunker:
    """Cuts documents into chunks.

    Args:
        settings: Bounds in words.
        contract: Bound in tokens, and the template of a passage.
        counter: The base model's tokenizer.

    Raises:
        ContractError: The contract leaves no room for text.
    """

    def __init__(self, settings: IngestSettings, contract: EncoderContract, counter: Counter) -> None:
        self._settings = settings
        self._contract = contract
        self._counter = counter
        self._heading_tokens = contract.max_length // HEADING_SHARE
        taken = self._overhead(())
        if taken * 2 > contract.max_length:
            raise ContractError(
                "passage prefix and special tokens take more than half of the length",
                got=f"{taken} of {contract.max_length} tokens",
                fix="raise contract.max_length or shorten contract.passage_prefix",
            )

    def chunks(self, extract: Extract) -> list[Chunk]:
        """Return the chunks of a document in its order; they do not overlap."""
        limit = self._contract.max_length
        while True:
            chunks = self._attempt(extract, limit)
            excess = max((chunk.n_tokens for chunk in chunks), default=0) - self._contract.max_length
            if excess <= 0 or limit <= self._contract.max_length // 2:
                return chunks
            # With some tokenizers the parts of a text have fewer tokens than the whole: leave that much free.
            limit -= excess

    def _attempt(self, extract: Extract, limit: int) -> list[Chunk]:
        shown = cache(self._shown)
        overhead = cache(lambda path: self._overhead(shown(path)))
        found = runs(extract)
        room = Room(self._settings.max_words, {run.path: limit - overhead(run.path) for run in found})
        atoms = make_atoms(extract, found, room, self._counter)
        bounds = Bounds(self._settings.min_words, self._settings.max_words, limit, overhead)
        slices = divide(atoms, bounds)
        texts = [extract.text[piece.start : piece.end] for piece in slices]
        paths = [shown(piece.path) for piece in slices]
        passages = [self._contract.render_passage(path, text) for path, text in zip(paths, texts, strict=True)]
        tokens = self._counter.passages(passages)
        return [
            Chunk(_digest(passage), text, path, piece.start, piece.end, len(words(text)), count)
            for passage, text, path, piece, count in zip(passages, texts, paths, slices, tokens, strict=True)
        ]

    def _overhead(self, path: tuple[str, ...]) -> int:
        return self._counter.passages([self._contract.render_passage(path, "") + "\n"])[0]

    def _shown(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """Shorten a heading path to its share of the tokens: middle headings go first, then the outermost."""
        shown = path
        while shown and self._counter.pieces([" > ".join(shown)])[0] > self._heading_tokens:
            if len(shown) > 1:
                shown = (shown[0], *shown[2:]) if len(shown) > 2 else shown[1:]
            else:
                kept = shown[0].split()[:-1]
                shown = (" ".join(kept),) if kept else ()
        return shown


def _digest(passage: str) -> str:
    return hashlib.sha256(passage.encode()).hexdigest()[:16]
