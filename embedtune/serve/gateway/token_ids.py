"""Decodes the token ids that some OpenAI clients send, if the table of their encoding is configured."""

import base64
import binascii
import codecs
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

from embedtune.core.errors import InputError
from embedtune.serve.gateway.http_errors import wrong_input

NOT_CONFIGURED = (
    "input contains token ids of OpenAI's tokenizer, which mean nothing to this model: send strings "
    "(LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))"
)
TOO_LONG = "input contains token ids whose text is more than three times as long as the ids: send the text"


class TokenIds:
    """A tiktoken encoding: maps token ids to bytes.

    Args:
        file: A `.tiktoken` file as OpenAI publishes it (cl100k_base.tiktoken): per line a token in base64 and its
            id.

    Raises:
        InputError: The file is not in this format.
    """

    def __init__(self, file: Path) -> None:
        self._bytes: dict[int, bytes] = {}
        try:
            for line in file.read_bytes().splitlines():
                word, number = line.split()
                self._bytes[int(number)] = base64.b64decode(word, validate=True)
        except (OSError, ValueError, binascii.Error) as error:
            raise InputError(
                f"{file} is not a table of token ids",
                got=error,
                expected="one line per token, with the token in base64 and its id (cl100k_base.tiktoken)",
            ) from error

    def decode(self, ids: Iterable[Sequence[int]], most: int) -> bytes:
        """Return the text of token ids in UTF-8.

        Args:
            ids: The ids, in several parts.
            most: How many bytes the text may have: one id can stand for 128 blanks.

        Raises:
            RefusedError: An id is unknown, the bytes are not UTF-8, or there are too many.
        """
        text, check = BytesIO(), codecs.getincrementaldecoder("utf-8")()
        try:
            for part in ids:
                read = b"".join(self._bytes[number] for number in part)
                check.decode(read)
                if text.tell() + len(read) > most:
                    raise wrong_input(TOO_LONG)
                text.write(read)
            check.decode(b"", final=True)
        except KeyError as error:
            raise wrong_input(f"input contains an unknown token id, {error}") from error
        except UnicodeDecodeError as error:
            raise wrong_input("input contains token ids that do not decode to valid UTF-8") from error
        return text.getvalue()
