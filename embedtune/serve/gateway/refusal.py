"""What a request gets instead of vectors: a status, and a body shaped like OpenAI's."""

import re
from collections.abc import Sequence
from typing import Any

from fastapi.responses import JSONResponse
from tritonclient.utils import InferenceServerException

from embedtune.core.errors import EmbedtuneError

RETRY_AFTER_S = 1
INVALID = re.compile(r"INVALID: (?P<what>.*)", re.DOTALL)
POSITION = re.compile(r"^TEXT\[(\d+)\]")
QUEUE_FULL = "maximum queue size"  # Triton's own words, with status UNAVAILABLE
FIELD_ERRORS = {"extra_forbidden": "there is no such field", "missing": "is missing"}


class RefusedError(EmbedtuneError):
    """A request that is not answered.

    Args:
        status: HTTP status.
        message: What is wrong and what would be right.
        code: For programs.
        param: The field of the request that is wrong.
        retry: The client may try again in a second.
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
        """Return it as OpenAI's clients expect it."""
        error = {"message": self.what, "type": _kind(self.status), "param": self.param, "code": self.code}
        headers: dict[str, str] = {}
        if self.retry:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": error}, self.status, headers)


def wrong_input(message: str) -> RefusedError:
    """Return the refusal of what stands in `input`."""
    return RefusedError(400, message, code="invalid_input", param="input")


def refusal_of(error: InferenceServerException, first: int) -> RefusedError:
    """Return what a client is told when Triton does not answer.

    Args:
        error: Triton's error.
        first: Place in the client's request of the first text that Triton was sent.
    """
    message, status = str(error.message()), str(error.status())
    if match := INVALID.search(message):
        return _invalid(match["what"], first)
    if QUEUE_FULL in message:
        return RefusedError(429, "too many requests are waiting", code="rate_limit_exceeded", retry=True)
    if "DEADLINE_EXCEEDED" in status:
        return RefusedError(504, "the model did not answer in time", code="timeout", retry=True)
    if "UNAVAILABLE" in status or "NOT_FOUND" in status:
        return RefusedError(503, "the model is not available now", code="unavailable", retry=True)
    return RefusedError(500, "the model failed", code="internal_error")


def _invalid(what: str, first: int) -> RefusedError:
    """Say it in the words of the client's request: its fields, and the place of a text in it."""
    if match := POSITION.match(what):
        return wrong_input(f"input[{int(match[1]) + first}]{what[match.end() :]}")
    if what.startswith("DIMENSIONS["):
        what = f"dimensions{what.partition(']')[2]}"
        return RefusedError(400, what, code="invalid_dimensions", param="dimensions")
    return RefusedError(400, what, code="invalid_request")


def validation_refusal(errors: Sequence[Any], content_type: str) -> RefusedError:
    """Return the refusal of a body that is not an embeddings request.

    Args:
        errors: What pydantic found. Its copies of the input are left out: they may not even be valid Unicode.
        content_type: What the client calls its body; only JSON is read.
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
