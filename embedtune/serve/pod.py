"""Server entry point `python -m embedtune.serve.pod DIR`: a Triton that serves what a release store says.

The store is configured by the environment: EMBEDTUNE_RELEASES (s3://bucket/prefix, a directory, or
image:DIR for the one release in DIR),
EMBEDTUNE_S3_ENDPOINT (host:port), EMBEDTUNE_S3_SECURE (true or false), EMBEDTUNE_S3_REGION and the credentials of
`embedtune.core.secrets`. EMBEDTUNE_TARGET is the only target that may be loaded, EMBEDTUNE_RELEASE_KEY the public
key (Ed25519, PEM) with which a release must be signed. Triton listens on loopback, and on all addresses only for
what EMBEDTUNE_TRITON_OPEN lists: http, grpc, metrics, separated by commas.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ConfigError, EmbedtuneError
from embedtune.core.secrets import secrets_from
from embedtune.core.storage_client import storage_from
from embedtune.serve.release.signature import Signing
from embedtune.serve.replica.follower import CANARY_S
from embedtune.serve.replica.run import KEPT_S, ReplicaOptions, run_replica
from embedtune.serve.store.store import ReleaseStore
from embedtune.serve.triton.exposure import grpc_tls
from embedtune.serve.triton.installation import find_installation
from embedtune.serve.triton.server import EVERYWHERE, LOOPBACK, Ports
from embedtune.serve.triton.traces import trace_flags

LOCAL_POLL_S, POLL_S = 0.5, 2.0  # a directory costs nothing to read


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--http-port", default=8000, help="Triton's HTTP port.")
@click.option("--grpc-port", default=8001, help="Triton's gRPC port.")
@click.option("--metrics-port", default=8002, help="Port of Triton's metrics.")
@click.option(
    "--canary-seconds",
    default=CANARY_S,
    help="Seconds between two comparisons of what is served with its reference vectors; 0: none.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for downloads that outlives FOLDER, such as one of the node; replicas may share it.",
)
@click.option(
    "--without-store-hours",
    type=click.FloatRange(min=0),
    default=KEPT_S / 3600,
    help="A replica that starts while the store cannot be read goes by the pointer that was last read, for this "
    "long after that reading; 0: it waits for the store.",
)
@click.option("--response-cache-mb", default=0, help="Size of Triton's response cache in MB; 0: none.")
def main(folder: Path, **given: Any) -> None:
    """Run Triton, and load, prove and serve the releases that the release store's pointer names.

    FOLDER keeps downloads, Triton's models, and the file by which gateways know what may answer.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run_replica(replica_options(folder, given, os.environ), find_installation(), stop)
    except EmbedtuneError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


def replica_options(folder: Path, given: Mapping[str, Any], environment: Mapping[str, str]) -> ReplicaOptions:
    """Return the options of the replica.

    Args:
        folder: Its folder.
        given: The options of the command.
        environment: Usually `os.environ`.

    Raises:
        ConfigError: A variable is missing or wrong.
    """
    uri = _variable(environment, "EMBEDTUNE_RELEASES", "s3://bucket/prefix of the releases, or a directory")
    remote = uri.startswith("s3://")
    if remote:
        _variable(environment, "EMBEDTUNE_S3_ENDPOINT", "host:port of the object store")
    storage = storage_from(environment)
    secrets = secrets_from(environment, llm_key_name="", judge_key_name="")
    signing = Signing(public=environment.get("EMBEDTUNE_RELEASE_KEY") or None)
    ports = (given["http_port"], given["grpc_port"], given["metrics_port"])
    return ReplicaOptions(
        store=ReleaseStore(uri, storage, secrets, signing=signing),
        folder=folder.resolve(),
        ports=Ports(*ports, *open_addresses(environment)),
        target=environment.get("EMBEDTUNE_TARGET") or None,
        cache_mb=given["response_cache_mb"],
        canary_s=given["canary_seconds"],
        cache=given["cache"].resolve() if given["cache"] else None,
        kept_s=given["without_store_hours"] * 3600,
        tls=grpc_tls(environment),
        traces=trace_flags(environment),
        poll_s=POLL_S if remote else LOCAL_POLL_S,
    )


def open_addresses(environment: Mapping[str, str]) -> tuple[str, str, str]:
    """Return where HTTP, gRPC and metrics listen: on loopback, but for those that EMBEDTUNE_TRITON_OPEN lists.

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
    return http, grpc, metrics


def store_environment(uri: str, storage: StorageSettings, public_key: str | None) -> dict[str, str]:
    """Return the variables by which `replica_options` finds a store; its credentials are not among them.

    Args:
        uri: Address of the store.
        storage: The object store of an s3:// address.
        public_key: PEM text of the key that releases must be signed with; None: none.
    """
    values = {
        "EMBEDTUNE_RELEASES": uri,
        "EMBEDTUNE_S3_ENDPOINT": storage.endpoint or "",
        "EMBEDTUNE_S3_SECURE": "true" if storage.secure else "false",
        "EMBEDTUNE_S3_REGION": storage.region or "",
        "EMBEDTUNE_RELEASE_KEY": public_key or "",
    }
    return {name: value for name, value in values.items() if value}


def _variable(environment: Mapping[str, str], name: str, fix: str) -> str:
    if value := environment.get(name):
        return value
    raise ConfigError(
        "the release store is not known", expected=f"the variable {name}", fix=f"set it to the {fix}"
    )


if __name__ == "__main__":
    main()
