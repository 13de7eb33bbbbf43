"""Run the gateway: `python -m embedtune.serve.gateway`."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from embedtune.core.config.serve import ServeSettings
from embedtune.core.errors import EmbedtuneError
from embedtune.serve.gateway.app import GatewayOptions, create_app
from embedtune.serve.replica.serving import SERVING_FILE
from embedtune.serve.triton.installation import local_folder

DEFAULTS = ServeSettings()
FINISH_S = 30  # for requests in progress
FILE = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8080, help="Port to listen on.")
@click.option("--triton", envvar="EMBEDTUNE_TRITON", default="127.0.0.1:8001", help="host:port of Triton's gRPC.")
@click.option(
    "--serving",
    type=FILE,
    envvar="EMBEDTUNE_SERVING",
    help="Folder of the replica that runs that Triton. [default: the one that `embedtune deploy` uses for it]",
)
@click.option("--model", default=DEFAULTS.model_name, help="Name of the endpoint model.")
@click.option("--max-inputs", default=DEFAULTS.max_inputs, help="Maximum number of texts in one request.")
@click.option(
    "--max-body-bytes", default=DEFAULTS.max_body_bytes, help="Maximum size of a request body, in bytes."
)
@click.option("--timeout", default=30.0, help="Seconds to wait for Triton's answer.")
@click.option("--drain", default=5.0, help="Seconds to keep answering after SIGTERM, while /health returns 503.")
@click.option("--token-ids", type=FILE, help="File cl100k_base.tiktoken, to decode OpenAI's token ids.")
@click.option("--playground", type=FILE, help="Directory that `embedtune search --playground` wrote.")
def main(host: str, port: int, drain: float, **given: Any) -> None:
    """Serve OpenAI's embeddings API in front of Triton, until SIGTERM or Ctrl-C.

    If EMBEDTUNE_API_KEY is set, clients must send that key.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        app = create_app(_gateway_options(given))
    except ValidationError as error:
        (first, *_) = error.errors()
        raise click.UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except EmbedtuneError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    config = uvicorn.Config(
        app, host, port, access_log=False, server_header=False, timeout_graceful_shutdown=FINISH_S, log_config=None
    )
    if not _serve(uvicorn.Server(config), app, drain):
        sys.exit(1)  # uvicorn has logged the reason


def _gateway_options(given: Mapping[str, Any]) -> GatewayOptions:  # Any: click's parsed options
    folder = given["serving"] or local_folder(int(given["triton"].rpartition(":")[2]) - 1)
    limits = {name: given[name] for name in ("max_inputs", "max_body_bytes")}
    return GatewayOptions(
        triton=given["triton"],
        serving=folder / SERVING_FILE,
        serve=ServeSettings(model_name=given["model"], **limits),
        api_key=os.environ.get("EMBEDTUNE_API_KEY") or None,
        timeout_s=given["timeout"],
        token_ids=given["token_ids"],
        playground=given["playground"],
    )


def _serve(server: uvicorn.Server, app: FastAPI, drain: float) -> bool:
    """Serve until a signal arrives, then stop gracefully; return whether the server could start at all."""
    stop, at_once = threading.Event(), threading.Event()

    def end(number: int, _: object) -> None:
        stop.set()
        if number == signal.SIGINT:  # Ctrl-C at a terminal: there is no load balancer to wait for
            at_once.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    # Outside the main thread uvicorn leaves signals to us. It would stop listening at once, while Kubernetes may
    # keep sending requests until the removal of the endpoint has reached every node.
    thread = threading.Thread(target=server.run)
    thread.start()
    while thread.is_alive() and not stop.wait(0.2):
        pass
    if thread.is_alive():
        app.state.gateway.draining = True
        at_once.wait(drain)
        server.should_exit = True
        thread.join()
    return stop.is_set()


if __name__ == "__main__":
    main()
