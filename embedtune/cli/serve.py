"""The commands `embedtune serve` and `embedtune gateway`."""

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embedtune.cli.help_layout import examples
from embedtune.cli.options import build_config, config_options, work_option
from embedtune.cli.reporting import err, reporting
from embedtune.core.errors import InputError
from embedtune.core.secrets import secrets_of
from embedtune.serve.gateway.__main__ import main as gateway_main

gateway = click.Command(
    "gateway",
    context_settings=gateway_main.context_settings,
    callback=gateway_main.callback,
    params=gateway_main.params,
    help=gateway_main.help,
    epilog=examples("embedtune gateway", "embedtune gateway --port 9080 --keys keys.txt --playground play"),
)

if TYPE_CHECKING:
    from embedtune.serve.triton.server import Ports

LOOPBACK = "127.0.0.1"


@click.command(
    epilog=examples(
        "embedtune serve --config embedtune.yaml",
        "embedtune serve --work demo --address 0.0.0.0 --grpc-port 9001",
    )
)
@click.option(
    "--http-port",
    default=8000,
    show_default=True,
    help="HTTP port; /v2/health/ready tells whether Triton is ready.",
)
@click.option("--grpc-port", default=8001, show_default=True, help="gRPC port, used by the gateway.")
@click.option("--metrics-port", default=8002, show_default=True, help="Port of the Prometheus metrics (/metrics).")
@click.option("--address", default=LOOPBACK, show_default=True, help="Address for gRPC and the metrics.")
@click.option(
    "--http-address",
    default=LOOPBACK,
    show_default=True,
    help="Address for HTTP. Before Triton 25.07 any client that reaches it can end the server (docs/security.md).",
)
@config_options
@work_option()
@click.option("-v", "--verbose", is_flag=True, help="Show detailed logs, including those of libraries.")
def serve(
    work: Path,
    http_port: int,
    grpc_port: int,
    metrics_port: int,
    address: str,
    http_address: str,
    verbose: bool,
    **options: Any,
) -> None:
    """Serve the live release with Triton.

    Follows the release store: what `embedtune deploy` makes live is loaded, proven and served on this machine,
    without a restart. Runs until Ctrl-C or SIGTERM. Uses the tritonserver on the PATH, or else the one from the
    package nvidia-pytriton, which gets a virtual environment of its own at first use. EMBEDTUNE_TRITON_TLS_CERT
    and EMBEDTUNE_TRITON_TLS_KEY (PEM files) turn on TLS for gRPC.
    """
    from embedtune.serve.triton.server import Ports

    with reporting(verbose):
        ports = Ports(http_port, grpc_port, metrics_port, http_address, address, address)
        _serve(ports, work, options)


def _serve(ports: "Ports", work: Path, options: dict[str, Any]) -> None:
    from embedtune.deploy.site import open_store
    from embedtune.serve.replica.run import ReplicaOptions, run_replica
    from embedtune.serve.triton.exposure import grpc_tls
    from embedtune.serve.triton.installation import find_installation, is_installed, local_folder
    from embedtune.serve.triton.taken_ports import wait_for_ports
    from embedtune.serve.triton.traces import trace_flags

    config = build_config(options, os.environ)
    secrets = secrets_of(config.generate, os.environ)
    store = open_store(config.release, config.storage, secrets, (work / "cache").resolve())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    replica = ReplicaOptions(
        store,
        local_folder(ports.http),
        ports,
        cache_mb=config.serve.response_cache_mb,
        tls=grpc_tls(os.environ),
        traces=trace_flags(os.environ),
    )
    if not is_installed() and not wait_for_ports(ports, 0.0):  # said before 500 MB are installed
        raise InputError(
            "a port of Triton is in use",
            got=f"one of {ports.http}, {ports.grpc}, {ports.metrics}",
            fix="stop what is listening there, or choose --http-port, --grpc-port and --metrics-port",
        )
    err.print(f"following {store.objects.uri}; gRPC {ports.grpc_address}:{ports.grpc}", soft_wrap=True)
    run_replica(replica, find_installation(), stop)
    err.print("stopped after the requests in progress were answered")
