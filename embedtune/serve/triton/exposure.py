"""What of Triton others may use: inference, health and metadata. The rest needs a key of this start of the server.

Source of the flags: "Limit Endpoint Access" in Triton's "Inference Protocols and APIs"; checked on 2.51 by tests.
Which ports listen beyond this machine is decided by `server.Ports`.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.errors import ConfigError, InputError

KEY_NAME = "embedtune-control"
# Model configuration stays open: our clients read their limits from it, and it says nothing else.
RESTRICTED = ("shared-memory", "model-repository", "statistics", "trace", "logging")
_GRPC_PREFIX = "triton-grpc-protocol-"


@dataclass(frozen=True)
class GrpcTls:
    """TLS of Triton's gRPC port.

    Args:
        certificate: PEM file with the server's certificate.
        key: PEM file with its private key.
    """

    certificate: Path
    key: Path

    def flags(self) -> list[str]:
        """Return the options of tritonserver.

        Raises:
            InputError: A file cannot be read.
        """
        for file in (self.certificate, self.key):
            if not os.access(file, os.R_OK):
                raise InputError(
                    "a file for the TLS of Triton's gRPC cannot be read",
                    got=str(file),
                    fix="give this user read access to it",
                )
        return ["--grpc-use-ssl=true", f"--grpc-server-cert={self.certificate}", f"--grpc-server-key={self.key}"]


def grpc_tls(environment: Mapping[str, str]) -> GrpcTls | None:
    """Return the TLS that EMBEDTUNE_TRITON_TLS_CERT and EMBEDTUNE_TRITON_TLS_KEY (PEM files) configure, if any.

    Args:
        environment: Usually `os.environ`.

    Raises:
        ConfigError: Only one of them is set.
    """
    names = ("EMBEDTUNE_TRITON_TLS_CERT", "EMBEDTUNE_TRITON_TLS_KEY")
    certificate, key = (environment.get(name, "") for name in names)
    if bool(certificate) != bool(key):
        raise ConfigError(
            "TLS for Triton's gRPC needs a certificate and its key",
            got=f"only {names[0] if certificate else names[1]}",
            expected=" and ".join(names),
            fix="set both, or none",
        )
    return GrpcTls(Path(certificate), Path(key)) if certificate else None


def new_control_key() -> str:
    """Return a new key for Triton's restricted APIs, for one start of the server."""
    return secrets.token_urlsafe(32)


def restriction_flags(key: str) -> list[str]:
    """Return the options of tritonserver that leave only inference, health and metadata open without the key."""
    rule = f"{','.join(RESTRICTED)}:{KEY_NAME}={key}"
    return [f"--http-restricted-api={rule}", f"--grpc-restricted-protocol={rule}"]


def control_headers(key: str) -> dict[str, str]:
    """Return the headers with which a client may use the restricted APIs: one for HTTP, one for gRPC."""
    return {KEY_NAME: key, _GRPC_PREFIX + KEY_NAME: key}
