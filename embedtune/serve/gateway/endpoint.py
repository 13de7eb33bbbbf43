"""Triton's endpoint model, asked over gRPC."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tritonclient.grpc.aio as grpc
from tritonclient.utils import InferenceServerException

from embedtune.core.encoders.vector_cache import Vectors
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
TOO_MANY = "batch-size must be <="  # Triton's own words


class _OtherServerError(RefusedError):
    """Triton takes fewer texts at a time than it did: another release stands there."""

    def __init__(self) -> None:
        super().__init__(503, "another model takes its place just now", code="unavailable", retry=True)


@dataclass(frozen=True)
class _Limits:
    texts: int  # in one request
    text_bytes: int  # in UTF-8


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
        self._limits: _Limits | None = None

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
            parts = await self._embed_in_parts(texts, input_type, dimensions)
        except _OtherServerError:
            parts = await self._embed_in_parts(texts, input_type, dimensions)
        if len(parts) == 1:
            return parts[0]
        return Embedded(np.concatenate([part.vectors for part in parts]), sum(part.tokens for part in parts))

    async def _embed_in_parts(
        self, texts: Sequence[str], input_type: str, dimensions: int | None
    ) -> list[Embedded]:
        limits = await self._read_limits()
        if any(len(text) > limits.text_bytes for text in texts):
            self._limits = None  # another server may stand there, which takes longer ones
            limits = await self._read_limits()
        # Refused here already: Triton would copy them to shared memory, which it never gives back.
        data = [_utf8(text, place, limits.text_bytes) for place, text in enumerate(texts)]
        try:
            async with asyncio.TaskGroup() as group:
                starts = range(0, len(data), limits.texts)
                tasks = [
                    group.create_task(
                        self._infer(data[start : start + limits.texts], input_type, dimensions, start)
                    )
                    for start in starts
                ]
        except* RefusedError as failed:
            # The first one speaks for all; the others were cancelled, or say the same.
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _read_limits(self) -> _Limits:
        if self._limits is None:
            try:
                answer = await self._client.get_model_config(self.model_name, client_timeout=self._timeout_s)
            except InferenceServerException as error:
                raise _logged(error, 0) from error
            config = answer.config
            longest = int(config.parameters["max_text_bytes"].string_value)
            self._limits = _Limits(int(config.max_batch_size), longest)
        return self._limits

    async def _infer(
        self, texts: Sequence[bytes], input_type: str, dimensions: int | None, first: int
    ) -> Embedded:
        rows = len(texts)
        inputs = [
            _strings("TEXT", texts),
            _strings("INPUT_TYPE", [input_type.encode()] * rows),
        ]
        if dimensions is not None:
            size = grpc.InferInput("DIMENSIONS", [rows, 1], "INT32")
            inputs.append(size.set_data_from_numpy(np.full((rows, 1), dimensions, dtype=np.int32)))
        try:
            answer = await self._client.infer(self.model_name, inputs, client_timeout=self._timeout_s)
        except InferenceServerException as error:
            self._limits = None  # another server may stand there when it answers again
            if TOO_MANY in str(error.message()):
                raise _OtherServerError from error
            raise _logged(error, first) from error
        return Embedded(answer.as_numpy("EMBEDDING"), int(answer.as_numpy("TOKENS").sum()))


def _utf8(text: str, place: int, longest: int) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        # JSON can spell half of a surrogate pair, which no Unicode text contains.
        raise wrong_input(f"input[{place}] holds a lone surrogate, which is not valid Unicode") from error
    if len(data) > longest:
        raise wrong_input(f"input[{place}] has {len(data)} bytes; the limit is {longest}")
    return data


def _strings(name: str, values: Sequence[bytes]) -> grpc.InferInput:
    tensor = grpc.InferInput(name, [len(values), 1], "BYTES")
    return tensor.set_data_from_numpy(np.array(values, dtype=object).reshape(-1, 1))


def _logged(error: InferenceServerException, first: int) -> RefusedError:
    refused = refusal_of(error, first)
    if refused.status >= 500:
        log.warning("Triton: %s (%s)", error.message(), error.status())
    return refused
