"""The command `embedtune serve`."""

from pathlib import Path

import click

from embedtune.cli.help_layout import examples
from embedtune.cli.options import FOLDER
from embedtune.cli.reporting import err, reporting
from embedtune.core.errors import EndpointError


@click.command(
    epilog=examples(
        "embedtune serve work/cache/releases/2a5a5a56c044ccb4",
        "embedtune serve work/cache/releases/2a5a5a56c044ccb4 --address 0.0.0.0 --http-port 9000",
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
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("-v", "--verbose", is_flag=True, help="Show detailed logs, including those of libraries.")
def serve(release: Path, http_port: int, grpc_port: int, metrics_port: int, address: str, verbose: bool) -> None:
    """Serve a release with Triton on this machine.

    RELEASE is the directory of a release. Runs until Ctrl-C or SIGTERM. Uses the tritonserver on the PATH, or else
    the one from the package nvidia-pytriton, which gets a virtual environment of its own at first use.
    """
    from embedtune.serve.release.record import read_release
    from embedtune.serve.triton.installation import find_installation
    from embedtune.serve.triton.server import Ports, TritonServer

    with reporting(verbose):
        ports = Ports(http_port, grpc_port, metrics_port, address)
        with TritonServer(read_release(release), find_installation(), ports, log=None) as server:
            try:
                server.start()
                err.print(
                    f"ready: http://{address}:{http_port}/v2/health/ready, gRPC {address}:{grpc_port}",
                    soft_wrap=True,
                )
                raise EndpointError(
                    "Triton ended unexpectedly", got=f"exit status {server.wait()}", fix="see its log"
                )
            except KeyboardInterrupt:
                err.print("stopping after the requests in progress are answered")
