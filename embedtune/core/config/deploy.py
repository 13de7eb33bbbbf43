"""Settings of the deploy stage and of releases."""

from typing import Literal

from pydantic import Field

from embedtune.core.config.section import Section


class ReleaseSettings(Section):
    """Where releases are kept, and who decides which one is live."""

    uri: str | None = Field(
        default=None, description="s3://bucket/prefix that holds the releases of one service; None: this machine."
    )
    owner: Literal["deploy", "values"] = Field(
        default="deploy", description="Who owns the live release: the deploy stage, or the chart's values."
    )


class DeploySettings(Section):
    """When and how a release goes live."""

    accept: Literal["win", "marginal"] = Field(default="win", description="The worst verdict that is deployed.")
    target: Literal["local", "kubernetes"] = Field(default="local", description="Where Triton runs.")
    port: int = Field(
        default=8000, ge=1024, le=65533, description="Local Triton: HTTP; gRPC and metrics are the next two."
    )
    endpoint: str | None = Field(
        default=None,
        description="What the smoke test asks: grpc://host:port (Triton) or http(s)://host:port (gateway). "
        "None: the local Triton, or on Kubernetes the gateway of the Service named like the Deployment.",
    )
    smoke_texts: int = Field(default=32, ge=2, description="Reference texts compared through the endpoint.")
    min_cosine: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="Of each smoke text, endpoint against the checkpoint's vector. "
        "None: what export demands of this precision.",
    )
    namespace: str = Field(default="default", description="Kubernetes namespace of the serving Deployment.")
    deployment: str = Field(default="embedtune-triton", description="Name of the serving Deployment.")
    timeout_s: float = Field(default=600.0, gt=0, description="Seconds that a rollout or a start may take.")
