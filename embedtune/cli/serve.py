"""The command `embedtune serve`."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import click

from embedtune.cli.help_layout import examples
from embedtune.cli.options import build_config, config_options, work_option
from embedtune.cli.reporting import err, reporting
from embedtune.core.secrets import secrets_of


@click.command(
    epilog=examples(
        "embedtune serve --config embedtune.yaml",
        "embedtune serve --work demo --address 0.0.0.0 --http-port 9000",
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
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@config_options
@work_option()
@click.option("-v", "--verbose", is_flag=True, help="Show detailed logs, including those of libraries.")
def serve(work: Path, http_port: int, address: str, verbose: bool, **given: Any) -> None:
    """Serve the live release with Triton on this machine.

    Follows the release store: what `embedtune deploy` makes live is loaded, proven and served, without a restart. Runs
    until Ctrl-C or SIGTERM. Uses the tritonserver on the PATH, or else the one from the package nvidia-pytriton, which
    gets a virtual environment of its own at first use.
    """
    from embedtune.deploy.site import open_store
    from embedtune.serve.replica.run import ReplicaOptions, run_replica
    from embedtune.serve.triton.installation import find_installation, local_folder
    from embedtune.serve.triton.server import Ports

    with reporting(verbose):
        ports = Ports(http_port, given.pop("grpc_port"), given.pop("metrics_port"), address)
        config = build_config(given, os.environ)
        secrets = secrets_of(config.generate, os.environ)
        store = open_store(config.release, config.storage, secrets, (work / "cache").resolve())
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        err.print(f"following {store.objects.uri}; gRPC {address}:{ports.grpc}", soft_wrap=True)
        options = ReplicaOptions(store, local_folder(http_port), ports, cache_mb=config.serve.response_cache_mb)
        run_replica(options, find_installation(), stop)
        err.print("stopped after the requests in progress were answered")
