"""Settings of the deploy stage and of releases."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from embedtune.core.config.section import Section


class ReleaseSettings(Section):
    """The release store."""

    uri: str | None = Field(
        default=None,
        description="s3://bucket/prefix, or a directory of this machine, for the releases of one service; None: a "
        "folder of the cache.",
    )
    signing_key: Path | None = Field(
        default=None,
        description="PEM file with the Ed25519 private key that signs what is published.",
    )
    public_key: Path | None = Field(
        default=None,
        description="PEM file with the Ed25519 public key: releases without its signature are not loaded; None: "
        "no signature is needed.",
    )


class DeploySettings(Section):
    """Settings that decide when and how a release goes live."""

    accept: Literal["win", "marginal"] = Field(default="win", description="Worst verdict that is still deployed.")
    flip: Literal["after_proof", "manual"] = Field(
        default="after_proof",
        description="When a release goes live: once every replica has proven it, or with `embedtune release "
        "flip`, after the passages were embedded through NAME@candidate.",
    )
    memory: Literal["two", "turns"] = Field(
        default="two",
        description="Whether replicas have memory for two releases. turns: the live one is unloaded first, and "
        "nothing answers until the next one is proven.",
    )
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
        description="Address of the live service: grpc://host:port (Triton) or http(s)://host:port (gateway). "
        "None: the local Triton, or on Kubernetes the gateway behind the Service named like the Deployment.",
    )
    smoke_texts: int = Field(
        default=32,
        ge=2,
        description="Number of reference texts that a replica embeds before the release may answer a client.",
    )
    min_cosine: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="Lowest cosine allowed between a replica's and the checkpoint's vector of a text. "
        "None: the limit that export sets for this precision.",
    )
    namespace: str = Field(default="default", description="Kubernetes namespace of the serving Deployment.")
    deployment: str = Field(default="embedtune-triton", description="Name of the serving Deployment.")
    timeout_s: float = Field(
        default=600.0, gt=0, description="Longest wait in seconds without progress of any replica."
    )
