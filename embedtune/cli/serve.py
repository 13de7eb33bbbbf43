"""The commands `embedtune serve` and `embedtune gateway`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embedtune.cli.help_layout import examples
from embedtune.cli.options import FOLDER
from embedtune.cli.reporting import err, reporting
from embedtune.core.errors import EndpointError
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
        "embedtune serve work/cache/releases/2a5a5a56c044ccb4",
        "embedtune serve work/cache/releases/2a5a5a56c044ccb4 --address 0.0.0.0 --grpc-port 9001",
    )
)
@click.argument("release", type=FOLDER)
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
@click.option("-v", "--verbose", is_flag=True, help="Show detailed logs, including those of libraries.")
def serve(release: Path, verbose: bool, **ports: Any) -> None:
    """Serve a release with Triton on this machine.

    RELEASE is the directory of a release. Runs until Ctrl-C or SIGTERM. Uses the tritonserver on the PATH, or else
    the one from the package nvidia-pytriton, which gets a virtual environment of its own at first use.
    EMBEDTUNE_TRITON_TLS_CERT and EMBEDTUNE_TRITON_TLS_KEY (PEM files) turn on TLS for gRPC.
    """
    from embedtune.serve.release.record import read_release
    from embedtune.serve.triton.exposure import grpc_tls
    from embedtune.serve.triton.installation import find_installation
    from embedtune.serve.triton.server import TritonServer

    with reporting(verbose):
        where, tls = _ports(**ports), grpc_tls(os.environ)
        with TritonServer(read_release(release), find_installation(), where, log=None, tls=tls) as server:
            try:
                server.start()
                err.print(
                    f"ready: http://{where.http_address}:{where.http}/v2/health/ready, "
                    f"gRPC {where.grpc_address}:{where.grpc}{' with TLS' if tls else ''}",
                    soft_wrap=True,
                )
                raise EndpointError(
                    "Triton ended unexpectedly", got=f"exit status {server.wait()}", fix="see its log"
                )
            except KeyboardInterrupt:
                err.print("stopping after the requests in progress are answered")


def _ports(*, http_port: int, grpc_port: int, metrics_port: int, http_address: str, address: str) -> "Ports":
    from embedtune.serve.triton.server import Ports

    return Ports(http_port, grpc_port, metrics_port, http_address, address, address)
