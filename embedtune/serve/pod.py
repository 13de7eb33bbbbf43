"""Server entry point `python -m embedtune.serve.pod DIR`: become Triton, serving the release from `fetch`.

For a container: Triton replaces this process, so that it receives its signals. It listens on the pod's loopback,
and on all addresses only for what EMBEDTUNE_TRITON_OPEN lists: http, grpc, metrics, separated by commas.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from embedtune.core.errors import ConfigError, EmbedtuneError
from embedtune.serve.fetch import CURRENT
from embedtune.serve.release.record import read_release
from embedtune.serve.triton.exposure import grpc_tls, new_control_key
from embedtune.serve.triton.installation import find_installation
from embedtune.serve.triton.server import LOOPBACK, Ports, server_command, server_environment

EVERYWHERE = "0.0.0.0"  # noqa: S104 - in a pod, a NetworkPolicy decides who may connect


def pod_command(folder: Path, environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the command that serves the current release, and its environment variables.

    Args:
        folder: The folder that `fetch` downloaded the release to.
        environment: Usually `os.environ`.

    Raises:
        ArtifactError: There is no release, or it is damaged.
        InputError: This image cannot run it.
        ConfigError: EMBEDTUNE_TRITON_OPEN or the TLS of gRPC is wrong.
    """
    installation = find_installation()
    release = read_release((folder / CURRENT).resolve())
    ports, tls = pod_ports(environment), grpc_tls(environment)
    command = server_command(release, installation, ports, new_control_key(), tls)
    return command, server_environment(installation, environment)


def pod_ports(environment: Mapping[str, str]) -> Ports:
    """Return where Triton listens: on loopback, but for the ports that EMBEDTUNE_TRITON_OPEN lists.

    Args:
        environment: Usually `os.environ`.

    Raises:
        ConfigError: It lists something else.
    """
    named = {name.strip() for name in environment.get("EMBEDTUNE_TRITON_OPEN", "").split(",")} - {""}
    if unknown := sorted(named - {"http", "grpc", "metrics"}):
        raise ConfigError(
            "EMBEDTUNE_TRITON_OPEN lists a port that Triton does not have",
            got=", ".join(unknown),
            expected="http, grpc, metrics",
        )
    http, grpc, metrics = (EVERYWHERE if name in named else LOOPBACK for name in ("http", "grpc", "metrics"))
    return Ports(http_address=http, grpc_address=grpc, metrics_address=metrics)


def main() -> None:
    """Become Triton, or print the reason for a failure to stderr."""
    try:
        command, environment = pod_command(Path(sys.argv[1]), os.environ)
    except EmbedtuneError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    os.execve(command[0], command, environment)  # noqa: S606 - the command is built here


if __name__ == "__main__":
    main()
