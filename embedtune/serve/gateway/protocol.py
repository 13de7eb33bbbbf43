"""Request and response bodies of `/v1/embeddings` and `/v1/models`, in OpenAI's wire format."""

import base64
import json
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.routes import InputType
from embedtune.serve.gateway.triton_client import Embedded


class EmbeddingRequest(BaseModel):
    """The texts to embed, and the form of their vectors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: StrictStr | list[StrictStr] | list[StrictInt] | list[list[StrictInt]] = Field(
        description="One text or a list of texts. OpenAI's token ids are refused, unless the gateway was started "
        "with --token-ids."
    )
    model: str = Field(
        description="Name of the model; clients that cannot send input_type append -query or -passage. @ID pins a "
        "release and @candidate the one that is to be live next; without either the live release answers."
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


def answer_body(embedded: Embedded, request: EmbeddingRequest, model: str) -> bytes:
    """Return the answer as JSON, formatted by hand: validating every number would cost more than the rest.

    Args:
        embedded: The vectors.
        request: The request.
        model: Name of the model that answered, which pins its release.
    """
    encode = _base64 if request.encoding_format == "base64" else _floats
    vectors = np.ascontiguousarray(embedded.vectors, dtype="<f4")
    data = ",".join(
        f'{{"object":"embedding","index":{index},"embedding":{encode(vector)}}}'
        for index, vector in enumerate(vectors)
    )
    usage = f'{{"prompt_tokens":{embedded.tokens},"total_tokens":{embedded.tokens}}}'
    return f'{{"object":"list","data":[{data}],"model":{json.dumps(model)},"usage":{usage}}}'.encode()


def _base64(vector: Vectors) -> str:
    return f'"{base64.b64encode(vector.tobytes()).decode()}"'


def _floats(vector: Vectors) -> str:
    return json.dumps(vector.tolist(), separators=(",", ":"))
