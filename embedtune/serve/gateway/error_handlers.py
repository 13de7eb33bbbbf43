"""Answers to requests that fail: what the OpenAPI document says about them, and how each error is answered."""

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.protocol import ErrorBody

REFUSALS: dict[int | str, dict[str, object]] = {
    400: {"model": ErrorBody, "description": "The request is invalid; the message says where."},
    401: {"model": ErrorBody, "description": "The API key is wrong or missing."},
    404: {"model": ErrorBody, "description": "There is no such model."},
    413: {"model": ErrorBody, "description": "The body is too large."},
    408: {"model": ErrorBody, "description": "The body did not arrive in time."},
    429: {
        "model": ErrorBody,
        "description": "Too much work is waiting, or the quota is used up; see Retry-After.",
    },
    503: {"model": ErrorBody, "description": "The model is not available at the moment; see Retry-After."},
    504: {"model": ErrorBody, "description": "The model did not answer in time; see Retry-After."},
    "default": {
        "model": ErrorBody,
        "description": "Any other error.",
    },  # otherwise FastAPI documents its own 422
}
HTTP_ERRORS = {
    404: "there is no such path",
    405: "this path does not support that method",
}


def add_refusals(app: FastAPI) -> None:
    """Answer every error in the format of the route.

    Args:
        app: The gateway's application.
    """

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        return error.response(request.url.path)

    @app.exception_handler(Exception)  # a bug in the gateway: the server logs it with its traceback
    async def failed(request: Request, _: Exception) -> Response:
        return RefusedError(500, "the gateway failed", code="internal_error").response(request.url.path)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        what = HTTP_ERRORS.get(error.status_code) or str(error.detail)
        return RefusedError(error.status_code, what).response(request.url.path)
