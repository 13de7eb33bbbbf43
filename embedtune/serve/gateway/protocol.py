"""Request and response bodies of `/v1/embeddings` and `/v1/models`, in OpenAI's wire format."""

import base64
import json
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.triton_client import Embedded

INPUT_TYPES = ("query", "passage")


class EmbeddingRequest(BaseModel):
    """The texts to embed, and the form of their vectors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: StrictStr | list[StrictStr] | list[StrictInt] | list[list[StrictInt]] = Field(
        description="One text or a list of texts. OpenAI's token ids are refused, unless the gateway was started "
        "with --token-ids."
    )
    model: str = Field(
        description="Name of the model; clients that cannot send input_type append -query or -passage."
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="base64: the encoded bytes of little-endian 32-bit floats."
    )
    dimensions: Annotated[int, Field(ge=1, lt=2**31, strict=True)] | None = Field(
        default=None, description="One of the vector sizes that the model offers; default: the full size."
    )
    input_type: Literal["query", "passage"] | None = Field(
        default=None,
        description="Whether the texts are queries or passages; default: what the model name says, else passages.",
    )
    user: str | None = Field(default=None, description="Ignored.")


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
    """The answer: one vector per text, in the order of the texts."""

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


def model_names(model: str) -> list[str]:
    """Return the model names that a client may send."""
    return [model, *(f"{model}-{kind}" for kind in INPUT_TYPES)]


def require_model(name: str, model: str) -> None:
    """Refuse a model name that is not served.

    Args:
        name: The name that the client sent.
        model: Name of the served model.

    Raises:
        RefusedError: There is no such model; the message lists the valid names.
    """
    if name not in model_names(model):
        raise RefusedError(
            404,
            f"there is no model {name[:80]!a}; this gateway serves {', '.join(model_names(model))}",
            code="model_not_found",
            param="model",
        )


def input_type_of(request: EmbeddingRequest, model: str) -> str | None:
    """Return whether the texts of a request are queries or passages; None: the request does not say.

    Args:
        request: The request.
        model: Name of the served model.

    Raises:
        RefusedError: There is no such model, or its name contradicts `input_type`.
    """
    require_model(request.model, model)
    named = request.model[len(model) + 1 :] or None
    if named and request.input_type and named != request.input_type:
        raise RefusedError(
            400,
            f"input_type {request.input_type} contradicts the model name {request.model}",
            code="invalid_request",
            param="input_type",
        )
    return request.input_type or named


def answer_body(embedded: Embedded, request: EmbeddingRequest) -> bytes:
    """Return the answer as JSON, formatted by hand: validating every number would cost more than the rest."""
    encode = _base64 if request.encoding_format == "base64" else _floats
    vectors = np.ascontiguousarray(embedded.vectors, dtype="<f4")
    data = ",".join(
        f'{{"object":"embedding","index":{index},"embedding":{encode(vector)}}}'
        for index, vector in enumerate(vectors)
    )
    usage = f'{{"prompt_tokens":{embedded.tokens},"total_tokens":{embedded.tokens}}}'
    return f'{{"object":"list","data":[{data}],"model":{json.dumps(request.model)},"usage":{usage}}}'.encode()


def _base64(vector: Vectors) -> str:
    return f'"{base64.b64encode(vector.tobytes()).decode()}"'


def _floats(vector: Vectors) -> str:
    return json.dumps(vector.tolist(), separators=(",", ":"))
