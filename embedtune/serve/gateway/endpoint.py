"""Triton's endpoint model, asked over gRPC."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tritonclient.grpc.aio as grpc
from tritonclient.utils import InferenceServerException

from embedtune.core.vector_cache import Vectors
from embedtune.serve.gateway.refusal import RefusedError, refusal_of, wrong_input

log = logging.getLogger(__name__)
# A Triton that was restarted is found again at once: gRPC would wait up to two minutes.
CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
READY_S = 2.0


@dataclass(frozen=True)
class Embedded:
    """Vectors, one row a text, and how many tokens the texts had."""

    vectors: Vectors
    tokens: int


class TritonEndpoint:
    """The endpoint model of a Triton server. To be made inside a running event loop.

    Args:
        url: host:port of gRPC.
        model_name: The endpoint model.
        timeout_s: Seconds that an answer may take.
    """

    def __init__(self, url: str, model_name: str, timeout_s: float) -> None:
        self.model_name = model_name
        self._timeout_s = timeout_s
        self._client = grpc.InferenceServerClient(url, channel_args=CHANNEL)
        self._batch: int | None = None

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def ready(self) -> bool:
        """Tell whether the model answers."""
        try:
            return bool(await self._client.is_model_ready(self.model_name, client_timeout=READY_S))
        except InferenceServerException:
            return False

    async def embed(self, texts: Sequence[str], input_type: str, dimensions: int | None) -> Embedded:
        """Embed texts; more than Triton takes at a time go as several requests.

        Args:
            texts: At least one.
            input_type: query or passage.
            dimensions: Size of the vectors; None: the full one.

        Raises:
            RefusedError: Triton does not answer; says why.
        """
        try:
            batch = await self._max_batch()
            async with asyncio.TaskGroup() as group:
                starts = range(0, len(texts), batch)
                tasks = [
                    group.create_task(self._infer(texts[start : start + batch], input_type, dimensions, start))
                    for start in starts
                ]
        except* RefusedError as refused:
            # The first one speaks for all; the others were cancelled, or say the same.
            raise refused.exceptions[0] from None
        parts = [task.result() for task in tasks]
        if len(parts) == 1:
            return parts[0]
        return Embedded(np.concatenate([part.vectors for part in parts]), sum(part.tokens for part in parts))

    async def _max_batch(self) -> int:
        """Return how many texts Triton takes in one request."""
        if self._batch is None:
            try:
                answer = await self._client.get_model_config(self.model_name, client_timeout=self._timeout_s)
            except InferenceServerException as error:
                raise _logged(error, 0) from error
            self._batch = int(answer.config.max_batch_size)
        return self._batch

    async def _infer(self, texts: Sequence[str], input_type: str, dimensions: int | None, first: int) -> Embedded:
        rows = len(texts)
        inputs = [
            _strings("TEXT", [_utf8(text, first + place) for place, text in enumerate(texts)]),
            _strings("INPUT_TYPE", [input_type.encode()] * rows),
        ]
        if dimensions is not None:
            size = grpc.InferInput("DIMENSIONS", [rows, 1], "INT32")
            inputs.append(size.set_data_from_numpy(np.full((rows, 1), dimensions, dtype=np.int32)))
        try:
            answer = await self._client.infer(self.model_name, inputs, client_timeout=self._timeout_s)
        except InferenceServerException as error:
            self._batch = None  # another server may stand there when it answers again
            raise _logged(error, first) from error
        return Embedded(answer.as_numpy("EMBEDDING"), int(answer.as_numpy("TOKENS").sum()))


def _utf8(text: str, place: int) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        # JSON can spell half of a surrogate pair, which no Unicode text contains.
        raise wrong_input(f"input[{place}] holds a lone surrogate, which is not valid Unicode") from error


def _strings(name: str, values: Sequence[bytes]) -> grpc.InferInput:
    tensor = grpc.InferInput(name, [len(values), 1], "BYTES")
    return tensor.set_data_from_numpy(np.array(values, dtype=object).reshape(-1, 1))


def _logged(error: InferenceServerException, first: int) -> RefusedError:
    refused = refusal_of(error, first)
    if refused.status >= 500:
        log.warning("Triton: %s (%s)", error.message(), error.status())
    return refused
