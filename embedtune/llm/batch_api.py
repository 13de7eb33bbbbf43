"""OpenAI's Batch API: a file of requests is uploaded, processed within 24 hours, and its results are downloaded.

Source: https://platform.openai.com/docs/guides/batch. Other providers offer the same interface.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
from openai.types import Batch

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.core.errors import LLMEndpointError
from embedtune.llm.batch_file import CHAT
from embedtune.llm.errors import printable
from embedtune.llm.failures import refusal_in
from embedtune.llm.wire import checked_key, connection, request_headers, shown_url

TRANSFER_TIMEOUT_S = 600.0  # of a file of up to 200 MB
OUR_NAME = "embedtune"  # in the metadata of a batch


class BatchApi:
    """The Batch API of an LLM endpoint. Belongs to one event loop.

    Args:
        settings: The LLM endpoint.
        api_key: Its API key, or None.

    Raises:
        LLMEndpointError: No LLM endpoint is configured, or the API key is not valid.
    """

    def __init__(self, settings: LLMEndpointSettings, api_key: str | None) -> None:
        self._settings = settings
        self._key = checked_key(settings, api_key)
        self._headers = request_headers(settings, self._key)
        client = connection(settings, self._key)
        self._client = client.with_options(max_retries=settings.retries, timeout=TRANSFER_TIMEOUT_S)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def submit(self, name: str, data: bytes) -> str:
        """Submit a batch and return its id.

        Args:
            name: Our name of the batch, by which `find` finds it.
            data: The lines of the input file.

        Raises:
            LLMEndpointError: It was refused.
            openai.APIError: It is not known whether it was submitted.
        """
        async with self._explained():
            file = await self._client.files.create(
                file=(f"embedtune-{name}.jsonl", data, "application/jsonl"),
                purpose="batch",
                extra_headers=self._headers,
            )
            # Never repeated by itself: a request whose answer was lost may have been received.
            batch = await self._client.with_options(max_retries=0).batches.create(
                input_file_id=file.id,
                endpoint=CHAT,
                completion_window="24h",
                metadata={OUR_NAME: name},
                extra_headers=self._headers,
            )
        return batch.id

    async def find(self, name: str) -> str | None:
        """Return the id of the batch with our name, or None if it was never submitted."""
        async with self._explained():
            async for batch in self._client.batches.list(limit=100, extra_headers=self._headers):
                if (batch.metadata or {}).get(OUR_NAME) == name:
                    return batch.id
        return None

    async def get(self, remote: str) -> Batch:
        """Return the state of a batch."""
        async with self._explained():
            return await self._client.batches.retrieve(remote, extra_headers=self._headers)

    async def lines(self, file_id: str) -> list[str]:
        """Return the lines of an output or error file."""
        async with self._explained():
            content = await self._client.files.content(file_id, extra_headers=self._headers)
            return content.text.splitlines()

    @asynccontextmanager
    async def _explained(self) -> AsyncIterator[None]:
        """Turn refusals into errors that say what to do; other failures are the caller's."""
        try:
            yield
        except openai.APIStatusError as error:
            if error.status_code >= 500 or error.status_code in (408, 409, 429):
                raise
            words = printable(refusal_in(error).words.replace(self._key, "***"))
            missing = error.status_code in (404, 405)
            raise LLMEndpointError(
                f"the LLM endpoint {shown_url(self._settings)} refuses the batch",
                got=f"HTTP {error.status_code}: {words}",
                fix="it may have no Batch API: set batch to none" if missing else "see the words of the endpoint",
            ) from None
