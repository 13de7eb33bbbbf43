"""Refusals of requests: an HTTP status, and an error body in OpenAI's format."""

import math
import re

from fastapi.responses import JSONResponse
from tritonclient.utils import InferenceServerException

from embedtune.core.errors import EmbedtuneError

SOON_S = 1
TEI_PATHS = ("/", "/embed", "/info", "/tokenize")  # routes of Hugging Face's text-embeddings-inference
INVALID = re.compile(r"INVALID: (?P<what>.*)", re.DOTALL)
POSITION = re.compile(r"^TEXT\[(\d+)\]")
EXPIRED = "Request timeout expired"  # of a request that Triton dropped from its queue
# Statuses while Triton is gone: CANCELLED is a request that it was working on when it was killed.
GONE = ("UNAVAILABLE", "NOT_FOUND", "CANCELLED")
STUB = "Stub process"  # is not healthy, says the Python backend
QUEUE_FULL = "maximum queue size"  # from Triton's error message, whose status is UNAVAILABLE
# Every `code` of a refusal: its status, and when it is sent. docs/reference/http-api.md is generated from it.
REFUSAL_CODES = {
    "invalid_json": (400, "the body is not a JSON object, or is not sent as `application/json`"),
    "invalid_request": (
        400,
        "a field is missing or of the wrong type, or two fields contradict each other",
    ),
    "invalid_input": (
        400,
        "`input` is an empty list, or a text is empty, longer than `serve.max_text_bytes` (65,536 bytes), or "
        "contains a null byte or a lone surrogate",
    ),
    "invalid_dimensions": (400, "the model does not offer vectors of this size"),
    "too_many_inputs": (400, "more texts than `--max-inputs` (2,048)"),
    "token_ids": (400, "`input` contains token ids, and the gateway was started without `--token-ids`"),
    "invalid_api_key": (401, "the API key is wrong or missing"),
    "invalid_token": (
        401,
        "the access token (`--oidc-issuer`) has expired, is for another audience, or is not valid",
    ),
    "model_not_found": (404, "no model with this name is served"),
    "no_playground": (404, "the gateway was started without `--playground`"),
    "no_feedback": (404, "the gateway was started without `--feedback`"),
    "other_model": (409, "the playground was written for a model other than the one being served"),
    "body_timeout": (408, "the body did not arrive within `--body-timeout` (30 seconds)"),
    "body_too_large": (
        413,
        "the body is larger than `--max-body-bytes` (4,000,000), or than 65,536 bytes of feedback",
    ),
    "rate_limit_exceeded": (
        429,
        "the work that is waiting does not fit the deadline, Triton's queue is full (`serve.max_queue_size`, 256 "
        "requests), or there are too many requests for tokens, or too much feedback from an API key",
    ),
    "quota_exceeded": (429, "the API key has used its tokens per minute"),
    "internal_error": (500, "the model or the gateway failed"),
    "unavailable": (
        503,
        "Triton does not answer, or does not serve the model; or the identity provider does not answer",
    ),
    "feedback_full": (503, "feedback cannot be written at the moment, and too much is waiting"),
    "too_many_bodies": (503, "too many large bodies are arriving at once"),
    "too_many_connections": (503, "all `--max-connections` (1,024) connections have a request in progress"),
    "timeout": (504, "no answer within `--timeout` (60 seconds)"),
}


class RefusedError(EmbedtuneError):
    """A request is refused.

    Args:
        status: HTTP status.
        message: What is wrong and what would be right.
        code: One of `REFUSAL_CODES`, for programs.
        param: The field of the request that is wrong.
        retry_after_s: Seconds after which the client may try again; None: it need not.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s

    def response(self, path: str) -> JSONResponse:
        """Return the error body that the clients of a route expect.

        Args:
            path: The route: TEI's have TEI's body, all others have OpenAI's.
        """
        error = {"message": self.what, "type": _kind(self.status), "param": self.param, "code": self.code}
        headers: dict[str, str] = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if path in TEI_PATHS:
            return JSONResponse({"error": self.what, "error_type": _tei_kind(self.status)}, self.status, headers)
        return JSONResponse({"error": error}, self.status, headers)


def wrong_input(message: str) -> RefusedError:
    """Return a refusal because of the content of `input`."""
    return RefusedError(400, message, code="invalid_input", param="input")


def refusal_of(error: InferenceServerException, first: int) -> RefusedError:
    """Return the refusal that a client gets for an error of Triton.

    Args:
        error: Triton's error.
        first: Index in the client's request of the first text that was sent to Triton.
    """
    message, status = str(error.message()), str(error.status())
    if match := INVALID.search(message):
        return _invalid(match["what"], first)
    if EXPIRED in message:
        return RefusedError(504, "the model did not answer in time", code="timeout", retry_after_s=SOON_S)
    if QUEUE_FULL in message:
        return RefusedError(429, "too many requests are waiting", code="rate_limit_exceeded", retry_after_s=SOON_S)
    if "DEADLINE_EXCEEDED" in status:
        return RefusedError(504, "the model did not answer in time", code="timeout", retry_after_s=SOON_S)
    # A process of the model has died: its replica notices, and answers nobody until another one is proven.
    if STUB in message or any(name in status for name in GONE):
        return RefusedError(
            503, "the model is not available at the moment", code="unavailable", retry_after_s=SOON_S
        )
    return RefusedError(500, "the model failed", code="internal_error")


def _invalid(what: str, first: int) -> RefusedError:
    """Translate Triton's message into the terms of the client's request: its fields, and the index of a text."""
    if match := POSITION.match(what):
        return wrong_input(f"input[{int(match[1]) + first}]{what[match.end() :]}")
    if what.startswith("DIMENSIONS["):
        what = f"dimensions{what.partition(']')[2]}"
        return RefusedError(400, what, code="invalid_dimensions", param="dimensions")
    return RefusedError(400, what, code="invalid_request")


def _tei_kind(status: int) -> str:
    if status == 429:
        return "overloaded"
    return "validation" if status < 500 else "backend"


def _kind(status: int) -> str:
    if status == 429:
        return "requests"
    return "invalid_request_error" if status < 500 else "server_error"
