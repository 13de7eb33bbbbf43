"""Refusals of requests: an HTTP status, and an error body in OpenAI's format."""

import re
from collections.abc import Sequence
from typing import Any

from fastapi.responses import JSONResponse
from tritonclient.utils import InferenceServerException

from embedtune.core.errors import EmbedtuneError

RETRY_AFTER_S = 1
INVALID = re.compile(r"INVALID: (?P<what>.*)", re.DOTALL)
POSITION = re.compile(r"^TEXT\[(\d+)\]")
QUEUE_FULL = "maximum queue size"  # from Triton's error message, whose status is UNAVAILABLE
FIELD_ERRORS = {"extra_forbidden": "there is no such field", "missing": "is missing"}
# Every `code` of a refusal: its status, and when it is sent. docs/reference/http-api.md is generated from it.
REFUSAL_CODES = {
    "invalid_json": (400, "the body is not a JSON object, or is not sent as `application/json`"),
    "invalid_request": (
        400,
        "a field is missing, unknown or of the wrong type, or two fields contradict each other",
    ),
    "invalid_input": (
        400,
        "`input` is an empty list, or a text is empty, longer than `serve.max_text_bytes` (65,536 bytes), or "
        "contains a null byte or a lone surrogate",
    ),
    "invalid_dimensions": (400, "the model does not offer vectors of this size"),
    "too_many_inputs": (400, "more texts than `--max-inputs` (256)"),
    "token_ids": (400, "`input` contains token ids, and the gateway was started without `--token-ids`"),
    "invalid_api_key": (401, "the API key is wrong or missing"),
    "model_not_found": (404, "no model with this name is served"),
    "no_playground": (404, "the gateway was started without `--playground`"),
    "other_model": (409, "the playground was written for a model other than the one being served"),
    "body_too_large": (413, "the body is larger than `--max-body-bytes` (4,000,000)"),
    "rate_limit_exceeded": (429, "Triton's queue is full (`serve.max_queue_size`, 256 requests)"),
    "internal_error": (500, "the model or the gateway failed"),
    "unavailable": (503, "Triton does not answer, or does not serve the model"),
    "timeout": (504, "no answer within `--timeout` (30 seconds)"),
}


class RefusedError(EmbedtuneError):
    """A request is refused.

    Args:
        status: HTTP status.
        message: What is wrong and what would be right.
        code: One of `REFUSAL_CODES`, for programs.
        param: The field of the request that is wrong.
        retry: Whether the client may try again in a second.
    """

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None, retry: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry = retry

    def response(self) -> JSONResponse:
        """Return the error body that OpenAI's clients expect."""
        error = {"message": self.what, "type": _kind(self.status), "param": self.param, "code": self.code}
        headers: dict[str, str] = {}
        if self.retry:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
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
    if QUEUE_FULL in message:
        return RefusedError(429, "too many requests are waiting", code="rate_limit_exceeded", retry=True)
    if "DEADLINE_EXCEEDED" in status:
        return RefusedError(504, "the model did not answer in time", code="timeout", retry=True)
    if "UNAVAILABLE" in status or "NOT_FOUND" in status:
        return RefusedError(503, "the model is not available at the moment", code="unavailable", retry=True)
    return RefusedError(500, "the model failed", code="internal_error")


def _invalid(what: str, first: int) -> RefusedError:
    """Translate Triton's message into the terms of the client's request: its fields, and the index of a text."""
    if match := POSITION.match(what):
        return wrong_input(f"input[{int(match[1]) + first}]{what[match.end() :]}")
    if what.startswith("DIMENSIONS["):
        what = f"dimensions{what.partition(']')[2]}"
        return RefusedError(400, what, code="invalid_dimensions", param="dimensions")
    return RefusedError(400, what, code="invalid_request")


def validation_refusal(errors: Sequence[Any], content_type: str) -> RefusedError:
    """Return the refusal of a body that is not an embeddings request.

    Args:
        errors: Errors in pydantic's format. Their copies of the input are left out: they may not be valid Unicode.
        content_type: The request's Content-Type; only JSON is accepted.
    """
    error = errors[0]
    if "json" not in content_type:
        what = "the body must be JSON, with Content-Type: application/json"
        return RefusedError(400, what, code="invalid_json")
    if error["type"] == "json_invalid":
        return RefusedError(400, f"the body is not JSON: {error['ctx']['error']}", code="invalid_json")
    where = [part for part in error["loc"] if part != "body"]
    if not where:
        kinds = {"string_unicode": "the name of a field is not valid Unicode"}
        return RefusedError(400, kinds.get(error["type"], "the body is not a JSON object"), code="invalid_json")
    param = str(where[0])[:40]
    what = FIELD_ERRORS.get(error["type"], error["msg"][:1].lower() + error["msg"][1:])
    if param == "input" and error["type"] != "missing":
        what = "must be a string or a list of strings"
    return RefusedError(400, f"{param}: {what}", code="invalid_request", param=param)


def _kind(status: int) -> str:
    if status == 429:
        return "requests"
    return "invalid_request_error" if status < 500 else "server_error"
