"""Client of Triton's endpoint models, over gRPC."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import tritonclient.grpc.aio as grpc
from tritonclient.utils import InferenceServerException

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.serve.gateway.http_errors import RefusedError, refusal_of, wrong_input
from embedtune.serve.gateway.rate import Lengths
from embedtune.serve.gateway.tracing import Tracing
from embedtune.serve.gateway.turns import Flow, Turns

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
SHORTEST_S = 0.001  # gRPC accepts no deadline in the past
REMEMBERED = 8  # models whose limits are known
Truncate = Literal["NONE", "END", "START"]


@dataclass(frozen=True)
class _Limits:
    texts: int  # per request
    text_bytes: int  # per text, in UTF-8


@dataclass(frozen=True)
class Form:
    """What texts are, and what is wanted.

    Args:
        input_type: query or passage.
        dimensions: Size of the vectors; None: the full size.
        truncate: What happens to texts that are too long; None: what the release says.
    """

    input_type: str
    dimensions: int | None = None
    truncate: Truncate | None = None


@dataclass(frozen=True)
class Embedded:
    """Vectors, one row per text, and the number of tokens in the texts."""

    vectors: Vectors
    tokens: int


@dataclass(frozen=True)
class _Job:
    """The texts of a request, about how many tokens each has, and until when they must be answered."""

    model: str
    texts: Sequence[bytes]
    form: Form
    sizes: Sequence[int]
    flow: Flow
    until: float  # in the event loop's time
    count: Callable[[int], None]

    def parts(self, most_texts: int, most_tokens: int) -> list[slice]:
        """Return the parts to send one by one; a part of one text may have more tokens."""
        found: list[slice] = []
        start = tokens = 0
        for place, size in enumerate(self.sizes):
            if place > start and (tokens + size > most_tokens or place - start == most_texts):
                found.append(slice(start, place))
                start, tokens = place, 0
            tokens += size
        return [*found, slice(start, len(self.sizes))]


@dataclass(frozen=True)
class TritonTls:
    """How the certificate of Triton's gRPC is checked.

    Args:
        authorities: PEM file with the certificates of those who may have issued it.
        name: Host name in it; None: the host that is connected to.
    """

    authorities: Path
    name: str | None = None


class TritonEndpoint:
    """The endpoint models of a Triton server. Create it inside a running event loop.

    Args:
        url: host:port of Triton's gRPC.
        turns: Whose turn it is.
        tracing: Records the parts of a request; Triton gets the context of its trace.
        tls: The certificate that Triton must have; None: it speaks plain gRPC.
    """

    def __init__(self, url: str, turns: Turns, tracing: Tracing, tls: TritonTls | None = None) -> None:
        self.turns = turns
        self._tracing = tracing
        self._lengths = Lengths()
        named = [("grpc.ssl_target_name_override", tls.name)] if tls and tls.name else []
        authorities = str(tls.authorities) if tls else None
        self._client = grpc.InferenceServerClient(
            url, ssl=tls is not None, root_certificates=authorities, channel_args=[*CHANNEL, *named]
        )
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

    async def embed(
        self,
        model: str,
        texts: Sequence[bytes],
        form: Form,
        client: str,
        count: Callable[[int], None] = lambda tokens: None,
    ) -> Embedded:
        """Embed texts, in several requests to Triton.

        Args:
            model: The endpoint model, of one release.
            texts: At least one, in UTF-8.
            form: What they are, and what is wanted.
            client: Who asks; clients share the model.
            count: Called with the tokens of each part that was read, also if the request then fails or its client
                leaves.

        Raises:
            RefusedError: Triton refuses the texts or does not answer, or the work does not fit the deadline.
        """
        until = asyncio.get_running_loop().time() + self.turns.deadline_s
        sizes = [self._lengths.estimate(text) for text in texts]
        job = _Job(model, texts, form, sizes, self.turns.flow(client, sum(sizes)), until, count)
        with self.turns.admitted(job.flow, sum(sizes)):
            parts = await self._embed_in_parts(job)
        if len(parts) == 1:
            return parts[0]
        return Embedded(np.concatenate([part.vectors for part in parts]), sum(part.tokens for part in parts))

    async def _embed_in_parts(self, job: _Job) -> list[Embedded]:
        limits = await self._read_limits(job.model)
        # Refuse oversized texts here: Triton would copy them to shared memory, which it never frees.
        for place, text in enumerate(job.texts):
            if len(text) > limits.text_bytes:
                raise wrong_input(f"input[{place}] has {len(text)} bytes; the limit is {limits.text_bytes}")
        try:
            async with asyncio.TaskGroup() as group:
                parts = job.parts(limits.texts, self.turns.part_tokens())
                tasks = [group.create_task(self._infer(job, part)) for part in parts]
        # Not `except*`: what is raised in it is wrapped in a group again by Python 3.11.2, that of Debian 12.
        except ExceptionGroup as failed:
            refused, bugs = failed.split(RefusedError)
            if refused is None or bugs is not None:
                raise
            # Report the first one; the others were cancelled or failed for the same reason.
            raise refused.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _read_limits(self, model: str) -> _Limits:
        if model not in self._limits:
            try:
                answer = await self._client.get_model_config(model, client_timeout=self.turns.deadline_s)
            except InferenceServerException as error:
                raise _logged(error, 0) from error
            config = answer.config
            longest = int(config.parameters["max_text_bytes"].string_value)
            if len(self._limits) >= REMEMBERED:
                self._limits.clear()
            self._limits[model] = _Limits(int(config.max_batch_size), longest)
        return self._limits[model]

    async def _infer(self, job: _Job, part: slice) -> Embedded:
        async with AsyncExitStack() as stack:
            with self._tracing.step("wait"):
                await stack.enter_async_context(self.turns.turn(job.flow, sum(job.sizes[part]), job.until))
            with self._tracing.step("encode", "CLIENT", {"embedtune.texts": part.stop - part.start}):
                try:
                    vectors, tokens = await self._ask(job, part)
                except asyncio.CancelledError:  # it may have been computed: nobody gets that for nothing
                    job.count(sum(job.sizes[part]))
                    raise
                job.count(int(tokens.sum()))
                self._tracing.describe({"embedtune.tokens": int(tokens.sum())})
            self.turns.answered(int(tokens.sum()))
        self._lengths.learn(job.texts[part], tokens.ravel().tolist())
        return Embedded(vectors, int(tokens.sum()))

    async def _ask(self, job: _Job, part: slice) -> tuple[Vectors, npt.NDArray[np.int32]]:
        """Return the vectors and token counts of a part."""
        texts, form = job.texts[part], job.form
        rows = len(texts)
        inputs = [_strings("TEXT", texts), _strings("INPUT_TYPE", [form.input_type.encode()] * rows)]
        if form.dimensions is not None:
            size = grpc.InferInput("DIMENSIONS", [rows, 1], "INT32")
            inputs.append(size.set_data_from_numpy(np.full((rows, 1), form.dimensions, dtype=np.int32)))
        if form.truncate is not None:
            inputs.append(_strings("TRUNCATE", [form.truncate.encode()] * rows))
        try:
            left = job.until - asyncio.get_running_loop().time()
            # Triton drops a request from its queue when this time is over, so that nobody computes what is late.
            answer = await self._client.infer(
                job.model,
                inputs,
                headers=self._tracing.headers(),
                timeout=max(1, int(left * 1e6)),
                client_timeout=max(left, SHORTEST_S),
            )
        except InferenceServerException as error:
            raise _logged(error, part.start) from error
        return answer.as_numpy("EMBEDDING"), answer.as_numpy("TOKENS")


def _strings(name: str, values: Sequence[bytes]) -> grpc.InferInput:
    tensor = grpc.InferInput(name, [len(values), 1], "BYTES")
    return tensor.set_data_from_numpy(np.array(values, dtype=object).reshape(-1, 1))


def _logged(error: InferenceServerException, first: int) -> RefusedError:
    refused = refusal_of(error, first)
    if refused.status >= 500:
        log.warning("Triton: %s (%s)", error.message(), error.status())
    return refused
