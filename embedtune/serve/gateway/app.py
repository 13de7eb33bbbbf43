"""The application: OpenAI's embeddings API in front of Triton."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from embedtune import __version__
from embedtune.core.config.serve import ServeSettings
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.serve.gateway.auth_and_body_size import Guard
from embedtune.serve.gateway.http_errors import RefusedError, validation_refusal
from embedtune.serve.gateway.metrics import Metrics
from embedtune.serve.gateway.playground import Playground, add_playground
from embedtune.serve.gateway.protocol import (
    EmbeddingList,
    EmbeddingRequest,
    ErrorBody,
    Model,
    ModelList,
    answer_body,
    input_type_of,
)
from embedtune.serve.gateway.routes import Routes
from embedtune.serve.gateway.token_ids import TokenIds, texts_of
from embedtune.serve.gateway.triton_client import TritonEndpoint
from embedtune.serve.replica.serving import ServingReader

log = logging.getLogger(__name__)
RELEASE_HEADER = "x-embedtune-release"
REFUSALS: dict[int | str, dict[str, object]] = {
    400: {"model": ErrorBody, "description": "The request is invalid; the message says where."},
    401: {"model": ErrorBody, "description": "The API key is wrong or missing."},
    404: {"model": ErrorBody, "description": "There is no such model."},
    413: {"model": ErrorBody, "description": "The body is too large."},
    429: {"model": ErrorBody, "description": "Too many requests are waiting; Retry-After says when to try again."},
    503: {"model": ErrorBody, "description": "The model is not available at the moment; see Retry-After."},
    504: {"model": ErrorBody, "description": "The model did not answer in time; see Retry-After."},
    "default": {
        "model": ErrorBody,
        "description": "Any other error.",
    },  # otherwise FastAPI documents its own 422
}
HTTP_ERRORS = {
    400: "the body cannot be read as JSON",
    404: "there is no such path",
    405: "this path does not support that method",
}


@dataclass(frozen=True)
class GatewayOptions:
    """Options of a gateway.

    Args:
        triton: host:port of Triton's gRPC.
        serving: The file in which the replica says what it answers with.
        serve: Name of the model, and limits.
        api_key: The key that clients must send; None: none is needed.
        timeout_s: Seconds to wait for Triton's answer.
        token_ids: File to decode OpenAI's token ids with; None: they are refused.
        playground: Directory that `embedtune search --playground` wrote, for the page at `/`.
    """

    triton: str
    serving: Path
    serve: ServeSettings = field(default_factory=ServeSettings)
    api_key: str | None = field(default=None, repr=False)
    timeout_s: float = 30.0
    token_ids: Path | None = None
    playground: Path | None = None


class Gateway:
    """The state that the routes share.

    Args:
        options: Its options.
    """

    def __init__(self, options: GatewayOptions) -> None:
        self.options = options
        self.metrics = Metrics()
        self.draining = False
        self.routes = Routes(ServingReader(options.serving), options.serve.model_name)
        self.token_ids = TokenIds(options.token_ids) if options.token_ids else None
        self.playground = Playground(options.playground, self._vectors) if options.playground else None
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
        self._endpoint = TritonEndpoint(self.options.triton, self.options.timeout_s)
        try:
            yield
        finally:
            await self._endpoint.close()

    async def embed(self, request: EmbeddingRequest) -> Response:
        """Return the answer to a request, which comes from one release and names it.

        Raises:
            RefusedError: The request is refused.
        """
        serve = self.options.serve
        route = self.routes.find(request.model)
        input_type = input_type_of(request, route.input_type)
        texts = texts_of(request.input, self.token_ids)
        if len(texts) > serve.max_inputs:
            raise RefusedError(
                400,
                f"input has {len(texts)} texts; the limit is {serve.max_inputs}",
                code="too_many_inputs",
                param="input",
            )
        if input_type is None:
            input_type = "passage"
            self._warn()
        with self.metrics.pending(texts):
            embedded = await self.endpoint.embed(route.model, texts, input_type, request.dimensions)
        self.metrics.texts.labels(input_type).inc(len(texts))
        self.metrics.tokens.inc(embedded.tokens)
        headers = {RELEASE_HEADER: route.release}
        return Response(answer_body(embedded, request, route.name), 200, headers, "application/json")

    async def ready(self) -> str | None:
        """Return why no request can be answered now; None: requests can."""
        try:
            route = self.routes.find(self.options.serve.model_name)
        except RefusedError as error:
            return error.what
        return None if await self.endpoint.ready(route.model) else "the model is not ready"

    async def _vectors(self, texts: list[str], input_type: str) -> tuple[Vectors, str]:
        route = self.routes.find(self.options.serve.model_name)
        return (await self.endpoint.embed(route.model, texts, input_type, None)).vectors, route.release

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            name = self.options.serve.model_name
            log.warning(
                "a request has neither an input_type nor the model name %s-query or %s-passage: "
                "its texts are embedded as passages (logged once)",
                name,
                name,
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
    _add_api(app, gateway)
    _add_operations(app, gateway)
    add_playground(app, gateway.playground)
    _add_refusals(app)
    app.add_middleware(
        Guard,
        metrics=gateway.metrics,
        max_body_bytes=options.serve.max_body_bytes,
        draining=lambda: gateway.draining,
        api_key=options.api_key,
    )
    return app


def _add_api(app: FastAPI, gateway: Gateway) -> None:
    @app.post(
        "/v1/embeddings",
        response_model=EmbeddingList,
        responses=REFUSALS,
        summary="Embed texts",
        response_description="The vectors.",
    )
    async def embeddings(request: EmbeddingRequest) -> Response:
        return await gateway.embed(request)

    @app.get("/v1/models", summary="List the model names", response_description="The names.")
    async def models() -> ModelList:
        return ModelList(data=[Model(id=name) for name in gateway.routes.names()])

    @app.get(
        "/v1/models/{name}",
        responses={status: REFUSALS[status] for status in (404, "default")},
        summary="Describe one model name",
        response_description="The name is valid.",
    )
    async def model(name: str) -> Model:
        gateway.routes.require(name)
        return Model(id=name)


def _add_operations(app: FastAPI, gateway: Gateway) -> None:
    @app.get(
        "/health",
        summary="Readiness: whether the model answers",
        response_description="Ready.",
        responses={503: {"description": "Not ready."}},
    )
    async def health() -> Response:
        if gateway.draining:
            return JSONResponse({"status": "draining"}, 503)
        reason = await gateway.ready()
        return JSONResponse({"status": reason or "ok"}, 503 if reason else 200)

    @app.get("/health/live", summary="Liveness: whether this process answers", response_description="Alive.")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", summary="Metrics for Prometheus", response_description="The metrics as text.")
    async def metrics() -> Response:
        return Response(gateway.metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return validation_refusal(error.errors(), request.headers.get("content-type", "")).response()

    @app.exception_handler(Exception)  # a bug in the gateway: the server logs it with its traceback
    async def failed(_: Request, __: Exception) -> Response:
        return RefusedError(500, "the gateway failed", code="internal_error").response()

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        return RefusedError(error.status_code, HTTP_ERRORS.get(error.status_code) or str(error.detail)).response()
