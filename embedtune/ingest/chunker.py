"""Cuts documents into chunks: passages of bounded length that follow the structure of the document."""

import hashlib
from dataclasses import dataclass
from functools import cache

from embedtune.core.config.ingest import IngestSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import ContractError
from embedtune.core.retrieval.shingles import words
from embedtune.ingest.blocks import Extract
from embedtune.ingest.layout import Bounds, divide
from embedtune.ingest.pieces import PieceLimits, make_pieces, text_blocks
from embedtune.ingest.tokens import Counter

HEADING_SHARE = 4  # the heading path takes up at most a quarter of the tokens


@dataclass(frozen=True)
class Chunk:
    """A passage of a document: its text is `extract.text[char_start:char_end]`.

    Args:
        chunk_id: 16 hex digits of the sha256 of the rendered passage: equal passages have equal ids.
        text: Its own text, in which further headings are lines.
        heading_path: The headings above all of its text, outermost first.
        char_start: Position of its first character in the extracted text.
        char_end: Position after its last character.
        n_words: Number of words of its text.
        n_tokens: Number of tokens of the rendered passage, including prefix and special tokens.
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
        settings: The bounds in words.
        contract: The bound in tokens, and the template of a passage.
        counter: The base model's tokenizer.

    Raises:
        ContractError: The contract leaves too few tokens for text.
    """

    def __init__(self, settings: IngestSettings, contract: EncoderContract, counter: Counter) -> None:
        self._settings = settings
        self._contract = contract
        self._counter = counter
        self._heading_tokens = contract.max_length // HEADING_SHARE
        taken = self._overhead(())
        if taken * 2 > contract.max_length:
            raise ContractError(
                "the passage prefix and special tokens take up more than half of the maximum length",
                got=f"{taken} of {contract.max_length} tokens",
                fix="raise contract.max_length or shorten contract.passage_prefix",
            )

    def chunks(self, extract: Extract) -> list[Chunk]:
        """Return the chunks of a document, in order, without overlap."""
        limit = self._contract.max_length
        while True:
            chunks = self._attempt(extract, limit)
            excess = max((chunk.n_tokens for chunk in chunks), default=0) - self._contract.max_length
            if excess <= 0 or limit <= self._contract.max_length // 2:
                return chunks
            # With some tokenizers the whole text has more tokens than its parts together: leave that much free.
            limit -= excess

    def _attempt(self, extract: Extract, limit: int) -> list[Chunk]:
        shown = cache(self._shown)
        overhead = cache(lambda path: self._overhead(shown(path)))
        blocks = text_blocks(extract)
        tokens_left = {block.path: limit - overhead(block.path) for block in blocks}
        pieces = make_pieces(extract, blocks, PieceLimits(self._settings.max_words, tokens_left), self._counter)
        bounds = Bounds(self._settings.min_words, self._settings.max_words, limit, overhead)
        slices = divide(pieces, bounds)
        texts = [extract.text[one.start : one.end] for one in slices]
        paths = [shown(one.path) for one in slices]
        passages = [self._contract.render_passage(path, text) for path, text in zip(paths, texts, strict=True)]
        tokens = self._counter.passages(passages)
        return [
            Chunk(_digest(passage), text, path, one.start, one.end, len(words(text)), count)
            for passage, text, path, one, count in zip(passages, texts, paths, slices, tokens, strict=True)
        ]

    def _overhead(self, path: tuple[str, ...]) -> int:
        return self._counter.passages([self._contract.render_passage(path, "") + "\n"])[0]

    def _shown(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """Shorten a heading path to its share of the tokens: first without middle headings, then the outermost."""
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
