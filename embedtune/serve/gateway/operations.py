"""Routes for those who run the gateway: health and metrics."""

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from embedtune.serve.gateway.guard import STATE, Account

if TYPE_CHECKING:
    from embedtune.serve.gateway.app import Gateway


def add_operations(app: FastAPI, gateway: "Gateway") -> None:
    """Add `/health`, `/health/live` and, unless the metrics have a port of their own, `/metrics`.

    Args:
        app: The gateway's application.
        gateway: Its state.
    """

    @app.get(
        "/health",
        summary="Readiness: whether the model answers",
        response_description="Ready.",
        responses={503: {"description": "Not ready."}},
    )
    async def health(request: Request) -> Response:
        reason = await gateway.not_ready()
        account: Account = request.scope[STATE]
        if reason is not None:
            return JSONResponse({"status": said_to(account, reason)}, 503)
        remark = gateway.routes.remark() if account.known else None
        return JSONResponse({"status": "ok"} | ({"warning": remark} if remark else {}))

    @app.get("/health/live", summary="Liveness: whether this process answers", response_description="Alive.")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    if gateway.options.metrics_apart:
        return

    @app.get("/metrics", summary="Metrics for Prometheus", response_description="The metrics as text.")
    async def metrics() -> Response:
        return Response(gateway.metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def said_to(account: Account, reason: str) -> str:
    """Return why the gateway is not ready, to strangers only that it is not: the reason may name an address."""
    return reason if account.known else "not ready; send an API key to read why"
