"""Run the gateway: `python -m embedtune.serve.gateway`."""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import click
import uvicorn

from embedtune.core.settings_serve import ServeSettings
from embedtune.serve.gateway.app import GatewayOptions, create_app

DEFAULTS = ServeSettings()
FINISH_S = 30  # for requests under way
FILE = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8080, help="Port to listen on.")
@click.option("--triton", envvar="EMBEDTUNE_TRITON", default="127.0.0.1:8001", help="host:port of Triton's gRPC.")
@click.option("--model", default=DEFAULTS.model_name, help="Name of the endpoint model.")
@click.option("--max-inputs", default=DEFAULTS.max_inputs, help="Texts in one request.")
@click.option("--max-body-bytes", default=DEFAULTS.max_body_bytes, help="Largest request.")
@click.option("--timeout", default=30.0, help="Seconds that Triton may take for an answer.")
@click.option("--drain", default=5.0, help="Seconds that it answers on after SIGTERM; /health says 503 then.")
@click.option("--token-ids", type=FILE, help="cl100k_base.tiktoken, to decode OpenAI's token ids.")
@click.option("--playground", type=FILE, help="What `embedtune search --playground` wrote.")
def main(host: str, port: int, drain: float, **given: Any) -> None:
    """Answer /v1/embeddings until SIGTERM; where EMBEDTUNE_API_KEY is set, clients must send that key."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    limits = {"max_inputs": given["max_inputs"], "max_body_bytes": given["max_body_bytes"]}
    options = GatewayOptions(
        triton=given["triton"],
        serve=ServeSettings(model_name=given["model"], **limits),
        api_key=os.environ.get("EMBEDTUNE_API_KEY") or None,
        timeout_s=given["timeout"],
        token_ids=given["token_ids"],
        playground=given["playground"],
    )
    app = create_app(options)
    config = uvicorn.Config(
        app, host, port, access_log=False, server_header=False, timeout_graceful_shutdown=FINISH_S, log_config=None
    )
    server = uvicorn.Server(config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # Beside the main thread uvicorn leaves the signals to us: it would stop listening at once, while Kubernetes
    # may go on sending requests here until the endpoint's removal has reached every node.
    thread = threading.Thread(target=server.run)
    thread.start()
    while thread.is_alive() and not stop.wait(0.2):
        pass
    if thread.is_alive():
        app.state.gateway.draining = True
        time.sleep(drain)
        server.should_exit = True
        thread.join()
    if not stop.is_set():
        sys.exit(1)  # it could not start; uvicorn has said why


if __name__ == "__main__":
    main()
