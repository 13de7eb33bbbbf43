"""The application: OpenAI's embeddings API in front of Triton."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from fastapi import FastAPI, Request, Response

from embedtune import __version__
from embedtune.core.config.serve import ServeSettings
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.serve.gateway.access_tokens import AccessTokens, Issuer
from embedtune.serve.gateway.bodies import Bodies, while_connected
from embedtune.serve.gateway.error_handlers import REFUSALS, add_refusals
from embedtune.serve.gateway.feedback.log import FeedbackLog, FeedbackOptions
from embedtune.serve.gateway.feedback.route import add_feedback
from embedtune.serve.gateway.guard import STATE, Account, Guard
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.inputs import InputLimits, read_texts
from embedtune.serve.gateway.json_body import decode
from embedtune.serve.gateway.keys import Key, Keys
from embedtune.serve.gateway.metrics import Metrics
from embedtune.serve.gateway.models import add_models
from embedtune.serve.gateway.operations import add_operations
from embedtune.serve.gateway.other_dialects import add_nim, add_tei
from embedtune.serve.gateway.playground import Playground, add_playground
from embedtune.serve.gateway.protocol import (
    EmbeddingList,
    EmbeddingRequest,
    answer_body,
    body_schema,
    input_type_of,
    vector_type_of,
)
from embedtune.serve.gateway.routes import RELEASE_HEADER, Route, Routes
from embedtune.serve.gateway.shadow import Answered, Shadow
from embedtune.serve.gateway.token_ids import TokenIds
from embedtune.serve.gateway.tokenizers import Tokenizers
from embedtune.serve.gateway.tracing import Tracing
from embedtune.serve.gateway.triton_client import Embedded, Form, TritonEndpoint, TritonTls
from embedtune.serve.gateway.turns import Turns
from embedtune.serve.replica.serving import DOWNLOADS, ServingReader

log = logging.getLogger(__name__)
TEXT_SHARE = 4  # a text may be a quarter of the largest body
PLAYGROUND = "playground"  # as a client
INLINE_NUMBERS = 20_000  # a smaller answer is written faster than a thread is woken


@dataclass(frozen=True)
class GatewayOptions:
    """Options of a gateway.

    Args:
        triton: host:port of Triton's gRPC.
        serving: The file in which the replica says what it answers with.
        serve: Name of the model, and limits.
        api_key: A key that clients may send.
        keys_file: File with more of them. Without either, none is needed.
        issuer: Whose access tokens are accepted in addition; None: nobody's.
        body_s: Seconds in which a body must arrive.
        timeout_s: Seconds to wait for Triton's answer.
        token_ids: File to decode OpenAI's token ids with; None: they are refused.
        playground: Directory that `embedtune search --playground` wrote, for the page at `/`.
        feedback: Where feedback goes; None: none is recorded.
        tracing: Where traces go; by default nowhere.
        shadow: Share of the requests that the candidate gets a copy of.
        either: Share of the requests to NAME@either that the candidate answers.
        metrics_apart: Whether the metrics have a port of their own, so that there is no `/metrics`.
        triton_tls: The certificate that Triton must have; None: it speaks plain gRPC.
    """

    triton: str
    serving: Path
    serve: ServeSettings = field(default_factory=ServeSettings)
    api_key: Key | None = None
    keys_file: Path | None = None
    issuer: Issuer | None = None
    body_s: float = 30.0
    timeout_s: float = 60.0
    token_ids: Path | None = None
    playground: Path | None = None
    feedback: FeedbackOptions | None = None
    tracing: Tracing = field(default_factory=Tracing)
    shadow: float = 0.0
    either: float = 0.0
    metrics_apart: bool = False
    triton_tls: TritonTls | None = None


class Gateway:
    """The state that the routes share.

    Args:
        options: Its options.
    """

    def __init__(self, options: GatewayOptions) -> None:
        self.options = options
        self.metrics = Metrics()
        self.tracing = options.tracing
        self.keys = Keys(options.api_key, options.keys_file)
        self.draining = False
        reader = ServingReader(options.serving)
        self.metrics.follow(reader)
        self.routes = Routes(reader, options.serve.model_name, options.either)
        self.shadow = Shadow(options.shadow, self.routes.successor, self.metrics.shadow, self.tracing)
        self.tokenizers = Tokenizers(options.serving.parent / DOWNLOADS)
        self.token_ids = TokenIds(options.token_ids) if options.token_ids else None
        self.playground = Playground(options.playground, self._vectors) if options.playground else None
        self.feedback = FeedbackLog(options.feedback, self.metrics.feedback) if options.feedback else None
        self._endpoint: TritonEndpoint | None = None
        self._warned = False

    @property
    def endpoint(self) -> TritonEndpoint:
        """The model behind the gateway."""
        assert self._endpoint is not None  # noqa: S101 - routes run inside `connected`
        return self._endpoint

    @asynccontextmanager
    async def connected(self, _: FastAPI) -> AsyncIterator[None]:
        """Keep a connection to Triton while the application runs."""
        turns = Turns(self.options.timeout_s)
        self._endpoint = TritonEndpoint(self.options.triton, turns, self.tracing, self.options.triton_tls)
        self.metrics.watch(turns)
        if self.feedback:
            self.feedback.start()
        try:
            yield
        finally:
            await self.shadow.close()
            await self._endpoint.close()
            if self.feedback:
                await asyncio.to_thread(self.feedback.close)
            await asyncio.to_thread(self.tracing.close)

    async def embed(self, request: EmbeddingRequest, texts: list[bytes], account: Account) -> Response:
        """Return the answer to a request, which comes from one release and names it.

        Args:
            request: The request.
            texts: Its texts in UTF-8.
            account: Updated with what was embedded.

        Raises:
            RefusedError: The request is refused.
        """
        await self.routes.await_switch(request.model)
        route = self.routes.find(request.model)
        input_type = input_type_of(request, route.input_type)
        if input_type is None:
            input_type = "passage"
            self._warn()
        form = Form(input_type, request.dimensions, request.truncate)
        embedded = await self.embed_texts(route, texts, form, account)
        with self.tracing.step("respond"):
            if embedded.vectors.size < INLINE_NUMBERS:
                body = answer_body(embedded, request, route.name)
            else:
                body = await asyncio.to_thread(answer_body, embedded, request, route.name)
        return Response(body, 200, {RELEASE_HEADER: route.release}, "application/json")

    def texts(self, given: msgspec.Raw, name: str) -> list[bytes]:
        """Return the texts of a request in UTF-8.

        Args:
            given: The field that has them.
            name: Its name.

        Raises:
            RefusedError: It is not a string, a list of strings, or token ids that can be decoded.
        """
        serve = self.options.serve
        limits = InputLimits(serve.max_inputs, serve.max_body_bytes // TEXT_SHARE)
        return read_texts(given, limits, self.token_ids, name)

    async def not_ready(self) -> str | None:
        """Return why no request can be answered now; None: requests can."""
        if self.draining:
            return "draining"
        try:
            route = await self.live()
        except RefusedError as error:
            return error.what
        return None if await self.endpoint.ready(route.model) else "the model is not ready"

    async def live(self) -> Route:
        """Return the route of requests that name no release.

        Raises:
            RefusedError: None is live now.
        """
        await self.routes.await_switch(self.options.serve.model_name)
        return self.routes.find(self.options.serve.model_name)

    async def embed_texts(self, route: Route, texts: list[bytes], form: Form, account: Account) -> Embedded:
        """Embed the texts of a request, and count them.

        Args:
            route: The release that answers.
            texts: In UTF-8.
            form: What they are, and what is wanted.
            account: Updated with what was embedded.

        Raises:
            RefusedError: The key's quota is used up, Triton refuses the texts, or it does not answer.
        """
        self.keys.require_quota(account.key)
        account.ask(route)
        alone, started = not self.endpoint.turns.pending_tokens, time.perf_counter()
        embedded = await self.endpoint.embed(route.model, texts, form, account.client, account.spend)
        if alone:  # otherwise its time would not be comparable
            seconds = time.perf_counter() - started
            self.shadow.copy(self.endpoint, Answered(route.release, texts, form, embedded, seconds))
        account.texts = len(texts)
        self.tracing.describe({"embedtune.model": route.name, "embedtune.input_type": form.input_type})
        self.metrics.embedded(account.asked(), form.input_type, len(texts), embedded.tokens)
        if form.input_type == "query":
            release = self.options.serving.parent / DOWNLOADS / route.release
            self.metrics.queries.observe(release, texts, embedded.vectors)
        return embedded

    async def _vectors(self, texts: list[str], input_type: str) -> tuple[Vectors, str]:
        route = await self.live()
        encoded = [text.encode() for text in texts]
        embedded = await self.endpoint.embed(route.model, encoded, Form(input_type), PLAYGROUND)
        return embedded.vectors, route.release

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            name = self.options.serve.model_name
            log.warning(
                "a request has neither an input_type nor the model name %s-query or %s-passage: "
                "its texts are embedded as passages (logged once)",
                *(name, name),
            )


def create_app(options: GatewayOptions) -> FastAPI:
    """Return the gateway as an ASGI application; set `app.state.gateway.draining` before stopping it.

    Args:
        options: Its options.
    """
    gateway = Gateway(options)
    app = FastAPI(
        title="embedtune",
        version=__version__,
        summary="Embeddings from a model that knows your documents, for every OpenAI client",
        lifespan=gateway.connected,
        openapi_url="/openapi.json",
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.gateway = gateway
    _add_embeddings(app, gateway)
    add_models(app, gateway)
    add_operations(app, gateway)
    add_nim(app, gateway)
    add_tei(app, gateway)
    add_feedback(app, gateway)
    add_playground(app, gateway.playground)
    add_refusals(app)
    app.add_middleware(
        Guard,
        metrics=gateway.metrics,
        bodies=Bodies(options.serve.max_body_bytes, options.body_s),
        keys=gateway.keys,
        tokens=AccessTokens(options.issuer) if options.issuer else None,
        draining=lambda: gateway.draining,
        tracing=gateway.tracing,
    )
    return app


def _add_embeddings(app: FastAPI, gateway: Gateway) -> None:
    @app.post(
        "/v1/embeddings",
        response_model=EmbeddingList,
        responses=REFUSALS,
        summary="Embed texts",
        response_description="The vectors.",
        openapi_extra=body_schema(EmbeddingRequest),
    )
    async def embeddings(request: Request) -> Response:
        body = await request.body()
        with gateway.tracing.step("parse"):
            given = decode(body, request.headers.get("content-type", ""), EmbeddingRequest)
            vector_type_of(given)  # refused before there is any work
            texts = gateway.texts(given.input, "input")
        return await while_connected(request.receive, gateway.embed(given, texts, request.scope[STATE]))
