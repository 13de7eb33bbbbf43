"""Decodes the token ids that some OpenAI clients send, if the table of their encoding is configured."""

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path

from embedtune.core.errors import InputError
from embedtune.serve.gateway.http_errors import wrong_input

NOT_CONFIGURED = (
    "input contains token ids of OpenAI's tokenizer, which mean nothing to this model: send strings "
    "(LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))"
)


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

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids.

        Raises:
            RefusedError: An id is unknown, or the bytes are not UTF-8.
        """
        try:
            return b"".join(self._bytes[number] for number in ids).decode()
        except KeyError as error:
            raise wrong_input(f"input contains an unknown token id, {error}") from error
        except UnicodeDecodeError as error:
            raise wrong_input("input contains token ids that do not decode to valid UTF-8") from error
