"""The tokens of texts, as the model of a release reads them: `POST /tokenize` of Hugging Face's TEI."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import orjson
from tokenizers import Tokenizer

from embedtune.core.contract import EncoderContract, load_contract
from embedtune.core.encoders.onnx import TOKENIZER_FILE
from embedtune.core.records.base import read_record
from embedtune.serve.gateway.http_errors import RefusedError, wrong_input
from embedtune.serve.release.record import RELEASE_FILE, ReleaseRecord

log = logging.getLogger(__name__)
REMEMBERED = 2  # releases that are loaded at the same time
MOST_REQUESTS = 16  # at a time: one is worked on, the others wait and hold their texts


@dataclass(frozen=True)
class ReleaseTokenizer:
    """The tokenizer of a release.

    Args:
        tokenizer: Without padding and truncation.
        contract: Its prefixes.
        longest: Longest text that the release accepts, in bytes of UTF-8.
    """

    tokenizer: Tokenizer
    contract: EncoderContract
    longest: int

    def tokens(self, text: bytes, prefix: str, special: bool) -> bytes:
        """Return the tokens of a text as JSON, with TEI's names.

        Args:
            text: In UTF-8.
            prefix: What the model reads before it. Places count from its start.
            special: Whether the model's special tokens are among them.
        """
        read = prefix + text.decode()
        encoding = self.tokenizer.encode(read, add_special_tokens=special)
        places = _byte_places(read)
        rows = zip(encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True)
        return orjson.dumps(
            [
                {"id": token, "text": name, "special": True, "start": None, "stop": None}
                if added
                else {
                    "id": token,
                    "text": read[start:stop],
                    "special": False,
                    "start": places[start],
                    "stop": places[stop],
                }
                for token, name, added, (start, stop) in rows
            ]
        )


class Tokenizers:
    """The tokenizers of the releases behind a gateway.

    Args:
        downloads: The replica's folder with one directory per release.
    """

    def __init__(self, downloads: Path) -> None:
        self._downloads = downloads
        self._loaded: dict[str, ReleaseTokenizer] = {}
        self._turn = asyncio.Lock()
        self._requests = 0

    async def tokens(
        self, release: str, texts: Sequence[bytes], query: bool, special: bool
    ) -> AsyncIterator[bytes]:
        """Return the answer to a request in parts, so that no more than one text's is in memory.

        Args:
            release: The release that answers.
            texts: In UTF-8.
            query: Whether they are queries.
            special: Whether the model's special tokens are among them.

        Raises:
            RefusedError: A text is not allowed, too many requests are waiting, or the tokenizer cannot be read.
        """
        if self._requests >= MOST_REQUESTS:
            what = f"more than {MOST_REQUESTS} requests for tokens at once"
            raise RefusedError(429, what, code="rate_limit_exceeded", retry_after_s=1)
        own = await asyncio.to_thread(self._load, release)
        for place, text in enumerate(texts):
            if not text:
                raise wrong_input(f"inputs[{place}] is empty")
            if len(text) > own.longest:
                raise wrong_input(f"inputs[{place}] has {len(text)} bytes; the limit is {own.longest}")
        prefix = own.contract.query_prefix if query else own.contract.passage_prefix
        return self._parts(own, texts, prefix, special)

    async def _parts(
        self, own: ReleaseTokenizer, texts: Sequence[bytes], prefix: str, special: bool
    ) -> AsyncIterator[bytes]:
        self._requests += 1
        try:
            for place, text in enumerate(texts):
                async with self._turn:  # in one thread: the others are for the model
                    part = await asyncio.to_thread(own.tokens, text, prefix, special)
                yield (b"," if place else b"[") + part
            yield b"]"
        finally:
            self._requests -= 1

    def _load(self, release: str) -> ReleaseTokenizer:
        if found := self._loaded.get(release):
            return found
        folder = self._downloads / release
        try:
            record = read_record(folder / RELEASE_FILE, ReleaseRecord)
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
            found = ReleaseTokenizer(tokenizer, load_contract(folder), record.serve.max_text_bytes)
        except Exception as error:  # the library raises nothing more specific
            log.warning("the tokenizer of release %s cannot be read: %s", release, error)
            what = "the tokenizer of the release cannot be read"
            raise RefusedError(503, what, code="unavailable", retry_after_s=1) from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        while len(self._loaded) >= REMEMBERED:
            del self._loaded[next(iter(self._loaded))]
        self._loaded[release] = found
        return found


def _byte_places(text: str) -> list[int]:
    """Return where each character begins in UTF-8, and where the text ends: TEI counts bytes."""
    return [0, *accumulate(1 + (c > "\x7f") + (c > "\u07ff") + (c > "\uffff") for c in text)]
