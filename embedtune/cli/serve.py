"""The command line: `embedtune serve`."""

from pathlib import Path

import click

from embedtune.cli.options import FOLDER
from embedtune.cli.shell import err, reporting
from embedtune.core.errors import EndpointError


@click.command()
@click.argument("release", type=FOLDER)
@click.option(
    "--http-port", default=8000, show_default=True, help="Also says whether it is ready: /v2/health/ready."
)
@click.option("--grpc-port", default=8001, show_default=True, help="What the gateway and clients use.")
@click.option("--metrics-port", default=8002, show_default=True, help="Prometheus: /metrics.")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option("-v", "--verbose", is_flag=True, help="Log details of libraries too.")
def serve(release: Path, http_port: int, grpc_port: int, metrics_port: int, address: str, verbose: bool) -> None:
    """Serve RELEASE (a directory) with Triton on this machine, until Ctrl-C or SIGTERM.

    It is the tritonserver on the PATH, or else the one that nvidia-pytriton carries, installed apart at first use.
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
                    "Triton ended by itself", got=f"exit status {server.wait()}", fix="see its log"
                )
            except KeyboardInterrupt:
                err.print("ending: requests under way are answered first")
