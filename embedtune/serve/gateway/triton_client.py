"""Client of Triton's endpoint models, over gRPC."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tritonclient.grpc.aio as grpc
from tritonclient.utils import InferenceServerException

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.serve.gateway.http_errors import RefusedError, refusal_of, wrong_input

log = logging.getLogger(__name__)
# Reconnect soon after Triton has restarted: by default gRPC waits up to two minutes.
CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
READY_S = 2.0
REMEMBERED = 8  # models whose limits are known


@dataclass(frozen=True)
class _Limits:
    texts: int  # per request
    text_bytes: int  # per text, in UTF-8


@dataclass(frozen=True)
class Embedded:
    """Vectors, one row per text, and the number of tokens in the texts."""

    vectors: Vectors
    tokens: int


class TritonEndpoint:
    """The endpoint models of a Triton server. Create it inside a running event loop.

    Args:
        url: host:port of Triton's gRPC.
        timeout_s: Seconds to wait for an answer.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._client = grpc.InferenceServerClient(url, channel_args=CHANNEL)
        # A name never means another model, so its limits never change.
        self._limits: dict[str, _Limits] = {}

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def ready(self, model: str) -> bool:
        """Return whether a model answers."""
        try:
            return bool(await self._client.is_model_ready(model, client_timeout=READY_S))
        except InferenceServerException:
            return False

    async def embed(self, model: str, texts: Sequence[str], input_type: str, dimensions: int | None) -> Embedded:
        """Embed texts, in several requests if Triton does not accept them in one.

        Args:
            model: The endpoint model, of one release.
            texts: At least one.
            input_type: query or passage.
            dimensions: Size of the vectors; None: the full size.

        Raises:
            RefusedError: Triton refuses the texts, or does not answer.
        """
        limits = await self._read_limits(model)
        # Refuse oversized texts here: Triton would copy them to shared memory, which it never frees.
        data = [_utf8(text, place, limits.text_bytes) for place, text in enumerate(texts)]
        try:
            async with asyncio.TaskGroup() as group:
                starts = range(0, len(data), limits.texts)
                tasks = [
                    group.create_task(
                        self._infer(model, data[start : start + limits.texts], input_type, dimensions, start)
                    )
                    for start in starts
                ]
        except* RefusedError as failed:
            # Report the first one; the others were cancelled or failed for the same reason.
            raise failed.exceptions[0] from None
        parts = [task.result() for task in tasks]
        if len(parts) == 1:
            return parts[0]
        return Embedded(np.concatenate([part.vectors for part in parts]), sum(part.tokens for part in parts))

    async def _read_limits(self, model: str) -> _Limits:
        if model not in self._limits:
            try:
                answer = await self._client.get_model_config(model, client_timeout=self._timeout_s)
            except InferenceServerException as error:
                raise _logged(error, 0) from error
            config = answer.config
            longest = int(config.parameters["max_text_bytes"].string_value)
            if len(self._limits) >= REMEMBERED:
                self._limits.clear()
            self._limits[model] = _Limits(int(config.max_batch_size), longest)
        return self._limits[model]

    async def _infer(
        self, model: str, texts: Sequence[bytes], input_type: str, dimensions: int | None, first: int
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
            answer = await self._client.infer(model, inputs, client_timeout=self._timeout_s)
        except InferenceServerException as error:
            raise _logged(error, first) from error
        return Embedded(answer.as_numpy("EMBEDDING"), int(answer.as_numpy("TOKENS").sum()))


def _utf8(text: str, place: int, longest: int) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        # JSON can encode half of a surrogate pair, which valid Unicode text never contains.
        raise wrong_input(f"input[{place}] contains a lone surrogate, which is not valid Unicode") from error
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
