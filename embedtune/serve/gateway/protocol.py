"""Bodies of `/v1/embeddings` and `/v1/models`, in the wire format of OpenAI and of NVIDIA's NIM."""

import base64
from typing import Annotated, Any, Literal

import msgspec
import orjson
from msgspec import Meta
from pydantic import BaseModel

from embedtune.core.retrieval.vector_types import VectorType, convert
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.routes import InputType
from embedtune.serve.gateway.triton_client import Embedded, Truncate

TEXTS = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    ]
}


class EmbeddingRequest(msgspec.Struct, frozen=True, gc=False):
    """The texts to embed, and the form of their vectors. Other fields are ignored; null is the default."""

    input: Annotated[
        msgspec.Raw,
        Meta(
            description="One text or a list of texts. OpenAI's token ids are refused, unless the gateway was "
            "started with --token-ids.",
            extra_json_schema=TEXTS,
        ),
    ]
    model: Annotated[
        str,
        Meta(
            description="Name of the model; clients that cannot send input_type append -query or -passage. @ID "
            "pins a release, @candidate the one that is to be live next, and @either leaves the choice to the "
            "gateway; without any of these the live release answers."
        ),
    ]
    encoding_format: Annotated[
        Literal["float", "base64", "int8", "uint8", "binary", "ubinary"] | None,
        Meta(
            description="base64: the encoded bytes of the numbers, little-endian. The other names are those of "
            "embedding_type."
        ),
    ] = None
    embedding_type: Annotated[
        VectorType | None,
        Meta(
            description="int8: each component times 127, rounded. uint8: that plus 128. ubinary: one bit per "
            "component, 1 if it is positive, eight to a byte, the first dimension in the highest bit. binary: "
            "that minus 128. Default: float."
        ),
    ] = None
    dimensions: Annotated[
        Annotated[int, Meta(ge=1, lt=2**31)] | None,
        Meta(description="One of the vector sizes that the model offers; default: the full size."),
    ] = None
    input_type: Annotated[
        InputType | None,
        Meta(
            description="Whether the texts are queries or passages; default: what the model name says, else "
            "passages."
        ),
    ] = None
    truncate: Annotated[
        Truncate | None,
        Meta(
            description="What happens to a text that is too long: NONE: it is refused. END: its end is cut off. "
            "START: its beginning is, but not its prefix. Default: the release's serve.on_long_text."
        ),
    ] = None


class Embedding(BaseModel):
    """One vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """The number of tokens that the model read, including prefixes."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The answer: one vector per text, in the order of the texts; `model` names the release that answered."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    """A valid value of `model`."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "embedtune"


class ModelList(BaseModel):
    """All valid values of `model`."""

    object: Literal["list"] = "list"
    data: list[Model]


class ErrorDetail(BaseModel):
    """The details of an error."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Body of every response that is not a success."""

    error: ErrorDetail


def body_schema(kind: type[Any]) -> dict[str, Any]:
    """Return what FastAPI needs to describe a body that it does not decode: OpenAPI, hence `Any`.

    Args:
        kind: The msgspec.Struct of the body.
    """
    (schema,) = msgspec.json.schema(kind)["$defs"].values()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def input_type_of(request: EmbeddingRequest, named: InputType | None) -> InputType | None:
    """Return whether the texts of a request are queries or passages; None: the request does not say.

    Args:
        request: The request.
        named: What the model name says.

    Raises:
        RefusedError: The model name contradicts `input_type`.
    """
    if named and request.input_type and named != request.input_type:
        raise RefusedError(
            400,
            f"input_type {request.input_type} contradicts the model name {request.model}",
            code="invalid_request",
            param="input_type",
        )
    return request.input_type or named


def vector_type_of(request: EmbeddingRequest) -> VectorType:
    """Return the type of the vectors that a request asks for.

    Raises:
        RefusedError: `encoding_format` contradicts `embedding_type`.
    """
    named = request.encoding_format
    if named is None or named == "float" or named == "base64":
        return request.embedding_type or "float"
    if request.embedding_type not in (None, named):
        raise RefusedError(
            400,
            f"encoding_format {named} contradicts embedding_type {request.embedding_type}",
            code="invalid_request",
            param="encoding_format",
        )
    return named


def answer_body(embedded: Embedded, request: EmbeddingRequest, model: str) -> bytes:
    """Return the answer as JSON, vector by vector, so that another thread can get its turn in between.

    Args:
        embedded: The vectors.
        request: The request.
        model: Name of the model that answered, which pins its release.
    """
    numbers = convert(embedded.vectors, vector_type_of(request))
    if request.encoding_format == "base64":
        written = (b'"%b"' % base64.b64encode(row) for row in numbers)
    else:
        written = (orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in numbers)
    data = b",".join(
        b'{"object":"embedding","index":%d,"embedding":%b}' % (index, vector)
        for index, vector in enumerate(written)
    )
    usage = b'{"prompt_tokens":%d,"total_tokens":%d}' % (embedded.tokens, embedded.tokens)
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b}' % (data, orjson.dumps(model), usage)
