"""Routes of other services, for their clients: Hugging Face's text-embeddings-inference (TEI) and NVIDIA's NIM."""

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from msgspec import Meta

from embedtune import __version__
from embedtune.serve.gateway.bodies import while_connected
from embedtune.serve.gateway.guard import STATE, Account
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.json_body import decode
from embedtune.serve.gateway.operations import said_to
from embedtune.serve.gateway.protocol import TEXTS, body_schema
from embedtune.serve.gateway.routes import RELEASE_HEADER
from embedtune.serve.gateway.triton_client import Form, Truncate

if TYPE_CHECKING:
    from embedtune.serve.gateway.app import Gateway


PromptName = Annotated[
    Literal["query", "passage", "document"] | None,
    Meta(description="Whether the texts are queries or passages (document means passage); default: passages."),
]


class TeiRequest(msgspec.Struct, frozen=True, gc=False):
    """TEI's request. Other fields are ignored; null is the default."""

    inputs: Annotated[msgspec.Raw, Meta(description="One text or a list of texts.", extra_json_schema=TEXTS)]
    truncate: Annotated[
        bool | None,
        Meta(
            description="true: texts that are too long are cut. false: they are refused. Default: the release's."
        ),
    ] = None
    truncation_direction: Annotated[
        Literal["right", "Right", "left", "Left"] | None,
        Meta(description="Which end of a text is cut. left needs truncate: true. Default: right."),
    ] = None
    normalize: Annotated[bool | None, Meta(description="Vectors always have unit length: false is refused.")] = (
        None
    )
    prompt_name: PromptName = None
    dimensions: Annotated[
        Annotated[int, Meta(ge=1, lt=2**31)] | None,
        Meta(description="One of the vector sizes that the model offers; default: the full size."),
    ] = None

    def form(self) -> Form:
        """Return what the texts are, and what is wanted.

        Raises:
            RefusedError: The vectors must not have unit length, or it is not said whether to cut the beginning.
        """
        if self.normalize is False:
            raise RefusedError(400, "normalize: vectors always have unit length", code="invalid_request")
        named: dict[bool | None, Truncate | None] = {None: None, True: "END", False: "NONE"}
        truncate = named[self.truncate]
        if self.truncation_direction in ("left", "Left"):
            if truncate is None:
                what = "truncation_direction: left cuts only with truncate: true"
                raise RefusedError(400, what, code="invalid_request")
            truncate = "START" if truncate == "END" else truncate
        return Form("query" if self.prompt_name == "query" else "passage", self.dimensions, truncate)


class TokenizeRequest(msgspec.Struct, frozen=True, gc=False):
    """TEI's request for tokens. Other fields are ignored; null is the default."""

    inputs: Annotated[msgspec.Raw, Meta(description="One text or a list of texts.", extra_json_schema=TEXTS)]
    add_special_tokens: Annotated[
        bool | None, Meta(description="Whether the model's special tokens are among them; default: true.")
    ] = None
    prompt_name: PromptName = None


def add_tei(app: FastAPI, gateway: "Gateway") -> None:
    """Add TEI's routes: `POST /embed`, the same at `/`, `POST /tokenize`, and `GET /info`.

    Args:
        app: The gateway's application.
        gateway: Its state.
    """

    async def work(given: TeiRequest, account: Account) -> Response:
        form = given.form()
        texts = gateway.texts(given.inputs, "inputs")
        route = await gateway.live()
        embedded = await gateway.embed_texts(route, texts, form, account)
        rows = (orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in embedded.vectors)
        return Response(b"[%b]" % b",".join(rows), 200, {RELEASE_HEADER: route.release}, "application/json")

    @app.post("/", include_in_schema=False)
    @app.post(
        "/embed",
        summary="Embed texts (TEI)",
        response_description="A list of vectors.",
        openapi_extra=body_schema(TeiRequest),
    )
    async def embed(request: Request) -> Response:
        given = decode(await request.body(), request.headers.get("content-type", ""), TeiRequest)
        return await while_connected(request.receive, work(given, request.scope[STATE]))

    @app.post(
        "/tokenize",
        summary="Show the tokens of texts (TEI)",
        response_description="A list of tokens per text.",
        openapi_extra=body_schema(TokenizeRequest),
    )
    async def tokenize(request: Request) -> Response:
        given = decode(await request.body(), request.headers.get("content-type", ""), TokenizeRequest)
        texts = gateway.texts(given.inputs, "inputs")
        account: Account = request.scope[STATE]
        gateway.keys.require_quota(account.key)
        route = await gateway.live()
        account.ask(route)
        account.texts = len(texts)
        special = given.add_special_tokens is not False
        rows = await gateway.tokenizers.tokens(route.release, texts, given.prompt_name == "query", special)
        return StreamingResponse(rows, 200, {RELEASE_HEADER: route.release}, "application/json")

    @app.get("/info", summary="Describe the model (TEI)", response_description="Name and limits.")
    async def info() -> dict[str, str | int]:
        serve = gateway.options.serve
        return {
            "model_id": serve.model_name,
            "model_sha": (await gateway.live()).release,
            "model_dtype": "float32",
            "max_client_batch_size": serve.max_inputs,
            "version": __version__,
        }


def add_nim(app: FastAPI, gateway: "Gateway") -> None:
    """Add NIM's routes: `/v1/health/ready`, `/v1/health/live` and `/v1/metadata`.

    Args:
        app: The gateway's application.
        gateway: Its state.
    """

    def health(message: str, status: int = 200) -> Response:
        return JSONResponse({"object": "health.response", "message": message, "ready": status == 200}, status)

    @app.get(
        "/v1/health/ready",
        summary="Readiness (NIM)",
        response_description="Ready.",
        responses={503: {"description": "Not ready."}},
    )
    async def ready(request: Request) -> Response:
        reason = await gateway.not_ready()
        return health(said_to(request.scope[STATE], reason), 503) if reason else health("ready")

    @app.get("/v1/health/live", summary="Liveness (NIM)", response_description="Alive.")
    async def live() -> Response:
        return health("live")

    @app.get("/v1/metadata", summary="Describe the model (NIM)", response_description="Name and version.")
    async def metadata() -> Response:
        name = gateway.options.serve.model_name
        return JSONResponse({"version": __version__, "modelInfo": [{"shortName": name, "modelUrl": ""}]})
