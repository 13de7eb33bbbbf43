"""The route `POST /v1/feedback`: which of the results that a client showed for a query a person chose."""

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from msgspec import Meta

from embedtune.core.records.feedback import MAX_ID, MAX_QUERY, MAX_SHOWN, RELEASE, Feedback
from embedtune.serve.gateway.error_handlers import REFUSALS
from embedtune.serve.gateway.guard import STATE, Account
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.json_body import decode_short
from embedtune.serve.gateway.protocol import body_schema
from embedtune.serve.gateway.rate import START_RATIO

if TYPE_CHECKING:
    from embedtune.serve.gateway.app import Gateway

PER_S, BURST = 50.0, 200.0  # of one API key: people do not click faster, and a program is stopped
ANSWERED_BY = re.compile(rf"(?:[^@]{{1,80}}@)?(?P<release>{RELEASE})")
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]


class FeedbackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person chose. There are no other fields: vectors, for example, are refused."""

    query: Annotated[str, Meta(min_length=1, max_length=MAX_QUERY, description="What the person asked.")]
    shown: Annotated[
        list[Id],
        Meta(
            min_length=1,
            max_length=MAX_SHOWN,
            description="Ids of the results, best first: passages (`_id` in corpus.jsonl) or paths of documents.",
        ),
    ]
    chosen: Annotated[
        list[Id],
        Meta(max_length=MAX_SHOWN, description="Those of them that were chosen; an empty list: none was of use."),
    ]
    release: Annotated[
        str | None,
        Meta(
            description="The release that embedded the query: the header x-embedtune-release or `model` of that "
            "answer."
        ),
    ] = None


@dataclass
class Pace:
    """How often each API key may send feedback.

    Args:
        clock: Seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)  # how many, and when that was

    def require(self, key: str) -> None:
        """Count one.

        Args:
            key: Name of the API key.

        Raises:
            RefusedError: The key has sent too many.
        """
        now = self.clock()
        left, at = self._left.get(key, (BURST, now))
        left = min(BURST, left + (now - at) * PER_S)
        self._left[key] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            what = f"more than {PER_S:g} records of feedback per second"
            raise RefusedError(429, what, code="rate_limit_exceeded", retry_after_s=(1 - left) / PER_S)


def add_feedback(app: FastAPI, gateway: "Gateway") -> None:
    """Add the route.

    Args:
        app: The gateway's application.
        gateway: Its state.
    """
    pace = Pace()

    @app.post(
        "/v1/feedback",
        status_code=202,
        responses={status: REFUSALS[status] for status in (400, 401, 404, 408, 413, 429, 503, "default")},
        summary="Record which results a person chose",
        response_description="Accepted; it is written within a second.",
        openapi_extra=body_schema(FeedbackRequest),
    )
    async def feedback(request: Request) -> Response:
        account: Account = request.scope[STATE]
        if gateway.feedback is None:
            what = "this gateway records no feedback: start it with --feedback PLACE"
            raise RefusedError(404, what, code="no_feedback")
        gateway.keys.require_quota(account.key)
        body = await request.body()
        given = decode_short(body, request.headers.get("content-type", ""), FeedbackRequest)
        record = _record(given, account.client)
        try:
            pace.require(account.client)
        except RefusedError:
            gateway.metrics.feedback.dropped.labels("rate").inc()
            raise
        gateway.keys.spend(account.key, math.ceil(len(body) * START_RATIO))
        if not gateway.feedback.add(record, len(body)):
            what = "feedback cannot be written at the moment, and too much is waiting"
            raise RefusedError(503, what, code="feedback_full", retry_after_s=5)
        return JSONResponse({"status": "accepted"}, 202)


def _record(given: FeedbackRequest, key: str) -> Feedback:
    query = given.query.strip()
    if not query:
        raise _wrong("query", "is blank")
    for name, ids in (("shown", given.shown), ("chosen", given.chosen)):
        if len(set(ids)) < len(ids):
            raise _wrong(name, "has an id twice")
    if not set(given.chosen) <= set(given.shown):
        raise _wrong("chosen", "has an id that is not in shown")
    answered = ANSWERED_BY.fullmatch(given.release) if given.release is not None else None
    if given.release is not None and answered is None:
        raise _wrong("release", "must be the header x-embedtune-release, or `model`, of the answer")
    return Feedback(
        query=query,
        release=answered["release"] if answered else None,
        shown=tuple(given.shown),
        chosen=tuple(given.chosen),
        time=datetime.now(UTC).replace(microsecond=0),
        key=key,
    )


def _wrong(param: str, what: str) -> RefusedError:
    return RefusedError(400, f"{param}: {what}", code="invalid_request", param=param)
