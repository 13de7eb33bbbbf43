"""Settings of the deploy stage and of releases."""

from typing import Literal

from pydantic import Field

from embedtune.core.config.section import Section


class ReleaseSettings(Section):
    """The release store, and who decides which release is live."""

    uri: str | None = Field(
        default=None,
        description="s3://bucket/prefix of the releases of one service; None: they are kept on this machine.",
    )
    owner: Literal["deploy", "values"] = Field(
        default="deploy",
        description="Who decides which release is live: the deploy stage, or the chart's values.",
    )


class DeploySettings(Section):
    """Settings that decide when and how a release goes live."""

    accept: Literal["win", "marginal"] = Field(default="win", description="Worst verdict that is still deployed.")
    target: Literal["local", "kubernetes"] = Field(
        default="local", description="Platform on which Triton serves releases."
    )
    port: int = Field(
        default=8000,
        ge=1024,
        le=65533,
        description="HTTP port of the local Triton; gRPC and metrics use the next two.",
    )
    endpoint: str | None = Field(
        default=None,
        description="Address that the smoke test calls: grpc://host:port (Triton) or http(s)://host:port "
        "(gateway). None: the local Triton, or on Kubernetes the gateway behind the Service named like the "
        "Deployment.",
    )
    smoke_texts: int = Field(
        default=32, ge=2, description="Number of reference texts that the smoke test sends to the endpoint."
    )
    min_cosine: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="Lowest cosine allowed between the endpoint's and the checkpoint's vector of a text. "
        "None: the limit that export sets for this precision.",
    )
    namespace: str = Field(default="default", description="Kubernetes namespace of the serving Deployment.")
    deployment: str = Field(default="embedtune-triton", description="Name of the serving Deployment.")
    timeout_s: float = Field(
        default=600.0, gt=0, description="Maximum duration of a rollout or a start, in seconds."
    )
