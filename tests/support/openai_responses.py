"""HTTP responses of the test server in `openai_server.py`."""

import json
from dataclasses import dataclass

from tests.support.openai_replies import Body


@dataclass(frozen=True)
class Response:
    """What is sent; `length` may be wrong on purpose. `None` in place of a response means that nothing is sent."""

    status: int
    data: bytes
    headers: dict[str, str]
    length: int
    pause_s: float = 0.0  # between two bytes


def json_response(status: int, data: Body | list[Body], headers: dict[str, str] | None = None) -> Response:
    payload = json.dumps(data).encode()
    return Response(status, payload, {"Content-Type": "application/json", **(headers or {})}, len(payload))


def error_response(status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> Response:
    return json_response(status, {"error": {"message": message, "type": code, "code": code}}, headers)


def text_response(status: int, text: str) -> Response:
    return Response(status, text.encode(), {"Content-Type": "text/plain"}, len(text.encode()))
