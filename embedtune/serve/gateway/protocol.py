"""The bodies of `/v1/embeddings` and `/v1/models`, as OpenAI's clients send and read them."""

import base64
import json
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.serve.gateway.endpoint import Embedded
from embedtune.serve.gateway.refusal import RefusedError

INPUT_TYPES = ("query", "passage")


class EmbeddingRequest(BaseModel):
    """Texts, and how their vectors are wanted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: StrictStr | list[StrictStr] | list[StrictInt] | list[list[StrictInt]] = Field(
        description="A text or several. Token ids (OpenAI's) are decoded where the gateway is configured to, "
        "else refused."
    )
    model: str = Field(
        description="The model's name, with -query or -passage after it for clients that cannot send input_type."
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="base64: the bytes of little-endian 32-bit floats."
    )
    dimensions: Annotated[int, Field(ge=1, lt=2**31, strict=True)] | None = Field(
        default=None, description="One of the sizes that the model offers; without it, the full one."
    )
    input_type: Literal["query", "passage"] | None = Field(
        default=None, description="What the texts are; without it (and without a suffix), passages."
    )
    user: str | None = Field(default=None, description="Ignored.")


class Embedding(BaseModel):
    """One vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens that the model read, prefixes included."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The answer: one vector a text, in the texts' order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    """A name that `model` may have."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "embedtune"


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


class ErrorDetail(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Every answer that is not a success."""

    error: ErrorDetail


def model_names(model: str) -> list[str]:
    """Return the names that a client may ask for."""
    return [model, *(f"{model}-{kind}" for kind in INPUT_TYPES)]


def require_model(name: str, model: str) -> None:
    """Refuse a name that no model has here.

    Args:
        name: What a client asks for.
        model: The name of the model that is served.

    Raises:
        RefusedError: Lists the names.
    """
    if name not in model_names(model):
        raise RefusedError(
            404,
            f"there is no model {name[:80]!a}; this gateway serves {', '.join(model_names(model))}",
            code="model_not_found",
            param="model",
        )


def input_type_of(request: EmbeddingRequest, model: str) -> str | None:
    """Return whether a request's texts are queries or passages; None: it does not say.

    Args:
        request: The request.
        model: The name of the model that is served.

    Raises:
        RefusedError: Another model is asked for, or name and `input_type` contradict each other.
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
    """Return the answer as JSON. Written by hand: validating each number again would cost more than the rest."""
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
