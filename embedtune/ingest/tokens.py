"""Counts tokens with the base model's own tokenizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from embedtune.core.contract import EncoderContract

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH = 512  # texts at a time; an encoding takes a hundred bytes per token while it is in memory


class Counter(Protocol):
    """Counts the tokens of texts."""

    def pieces(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, without special tokens."""

    def passages(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each rendered passage, with the passage prefix and special tokens."""


class TokenCounter:
    """Counts tokens with the tokenizer of a model directory.

    Args:
        path: Directory of the base model.
        contract: Its passage prefix counts as part of every passage.
    """

    def __init__(self, path: Path, contract: EncoderContract) -> None:
        self._prefix = contract.passage_prefix
        self._tokenizer = _load(path, contract)
        # The file may ask for truncation and padding, which would falsify the counts.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def pieces(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, without special tokens."""
        return self._count(texts, special=False)

    def passages(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each rendered passage, with the passage prefix and special tokens."""
        return self._count([self._prefix + text for text in texts], special=True)

    def _count(self, texts: Sequence[str], *, special: bool) -> list[int]:
        counts: list[int] = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            encodings = self._tokenizer.encode_batch_fast(batch, add_special_tokens=special)
            counts += [len(encoding) for encoding in encodings]
        return counts


def _load(path: Path, contract: EncoderContract) -> "Tokenizer":
    # The class that reads tokenizer.json does not need torch, whose import takes 450 MB of memory.
    if (path / "tokenizer.json").is_file():
        from transformers import PreTrainedTokenizerFast

        fast = PreTrainedTokenizerFast.from_pretrained(str(path))
    else:
        from transformers import AutoTokenizer

        fast = AutoTokenizer.from_pretrained(str(path), trust_remote_code=contract.trust_remote_code)
    tokenizer: Tokenizer = fast.backend_tokenizer
    return tokenizer
