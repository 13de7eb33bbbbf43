"""Routes that list the model names."""

from typing import TYPE_CHECKING

from fastapi import FastAPI

from embedtune.serve.gateway.error_handlers import REFUSALS
from embedtune.serve.gateway.protocol import Model, ModelList

if TYPE_CHECKING:
    from embedtune.serve.gateway.app import Gateway


def add_models(app: FastAPI, gateway: "Gateway") -> None:
    """Add `/v1/models`.

    Args:
        app: The gateway's application.
        gateway: Its state.
    """

    @app.get("/v1/models", summary="List the model names", response_description="The names.")
    async def models() -> ModelList:
        return ModelList(data=[Model(id=name) for name in gateway.routes.names()])

    @app.get(
        "/v1/models/{name}",
        responses={status: REFUSALS[status] for status in (404, "default")},
        summary="Describe one model name",
        response_description="The name is valid.",
    )
    async def model(name: str) -> Model:
        gateway.routes.require(name)
        return Model(id=name)
