"""The command `python -m embedtune.serve.gateway`, as containers run it; `embedtune gateway` is the same."""

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from embedtune.core.config.serve import ServeSettings
from embedtune.core.errors import EmbedtuneError
from embedtune.serve.gateway.feedback.options import feedback_of, feedback_options

if TYPE_CHECKING:
    from embedtune.serve.gateway.access_tokens import Issuer
    from embedtune.serve.gateway.app import GatewayOptions
    from embedtune.serve.gateway.tls import Tls
    from embedtune.serve.gateway.triton_client import TritonTls

DEFAULTS = ServeSettings()
SHARE = click.FloatRange(0, 1)
FILE = click.Path(path_type=Path)


@click.command(
    "gateway",
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8080, help="Port to listen on.")
@click.option(
    "--metrics-port",
    type=int,
    help="Port for Prometheus, instead of /metrics at --port, where every client can read it.",
)
@click.option("--triton", envvar="EMBEDTUNE_TRITON", default="127.0.0.1:8001", help="host:port of Triton's gRPC.")
@click.option(
    "--triton-ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file with the certificates that Triton's is checked with, if its gRPC has TLS.",
)
@click.option(
    "--triton-name", metavar="NAME", help="Host name in Triton's certificate, if it is not that of --triton."
)
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
@click.option("--body-timeout", default=30.0, help="Seconds in which the body of a request must arrive.")
@click.option("--max-connections", default=1024, help="Maximum number of open connections.")
@click.option("--timeout", default=60.0, help="Seconds in which a request must be answered.")
@click.option("--drain", default=5.0, help="Seconds to keep answering after SIGTERM, while /health returns 503.")
@click.option("--keys", type=FILE, help="File with the hashes of API keys, read again when it changes.")
@click.option("--tls-cert", type=FILE, help="PEM file with the certificate for HTTPS, read again when it changes.")
@click.option("--tls-key", type=FILE, help="PEM file with its private key.")
@click.option("--oidc-issuer", metavar="URL", help="Accept access tokens (JWT) of this identity provider.")
@click.option("--oidc-audience", metavar="NAME", default="", help="The audience that access tokens must be for.")
@click.option(
    "--oidc-name-claim", default="sub", help="The claim that names a client in metrics and in the access log."
)
@click.option("--shadow", type=SHARE, default=0.0, help="Share of the requests that the candidate gets a copy of.")
@click.option(
    "--either", type=SHARE, default=0.0, help="Share of the requests to NAME@either that the candidate answers."
)
@click.option("--token-ids", type=FILE, help="File cl100k_base.tiktoken, to decode OpenAI's token ids.")
@click.option("--playground", type=FILE, help="Directory that `embedtune search --playground` wrote.")
@feedback_options
def main(host: str, port: int, metrics_port: int | None, drain: float, max_connections: int, **given: Any) -> None:
    """Serve OpenAI's embeddings API over Triton.

    Also answers the clients of NVIDIA's NIM and Hugging Face's TEI. Runs until SIGTERM or Ctrl-C.
    With EMBEDTUNE_API_KEY or --keys, clients must send a key; with --oidc-issuer, a key or an access token.
    With OpenTelemetry's variables, such as OTEL_EXPORTER_OTLP_ENDPOINT, requests are traced.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    from embedtune.serve.gateway.app import create_app
    from embedtune.serve.gateway.connections import ConnectionLimits
    from embedtune.serve.gateway.server import listen, serve, serve_metrics

    try:
        app = create_app(replace(_gateway_options(given), metrics_apart=metrics_port is not None))
        tls = _tls(given["tls_cert"], given["tls_key"])
        listener = listen(host, port)
        where = f"http{'s' if tls else ''}://{host}:{listener.getsockname()[1]}"
        if metrics_port is not None:
            serve_metrics(app.state.gateway.metrics, host, metrics_port)
        logging.getLogger(__package__).info("listening on %s", where)
        serve(app, listener, ConnectionLimits(max_connections), drain, tls)
    except ValidationError as error:
        (first, *_) = error.errors()
        raise click.UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except EmbedtuneError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


def _tls(certificate: Path | None, key: Path | None) -> "Tls | None":
    from embedtune.serve.gateway.tls import Tls, TlsFiles

    if (certificate is None) != (key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    return Tls(TlsFiles(certificate, key)) if certificate and key else None


def _gateway_options(given: Mapping[str, Any]) -> "GatewayOptions":  # Any: click's parsed options
    from embedtune.serve.gateway.app import GatewayOptions
    from embedtune.serve.gateway.keys import read_key
    from embedtune.serve.gateway.tracing import tracing_from
    from embedtune.serve.replica.serving import SERVING_FILE
    from embedtune.serve.triton.installation import local_folder

    folder = given["serving"] or local_folder(int(given["triton"].rpartition(":")[2]) - 1)
    limits = {name: given[name] for name in ("max_inputs", "max_body_bytes")}
    key = os.environ.get("EMBEDTUNE_API_KEY")
    return GatewayOptions(
        triton=given["triton"],
        serving=folder / SERVING_FILE,
        serve=ServeSettings(model_name=given["model"], **limits),
        api_key=None if key is None else read_key(key),
        keys_file=given["keys"],
        issuer=_issuer(given),
        body_s=given["body_timeout"],
        timeout_s=given["timeout"],
        token_ids=given["token_ids"],
        playground=given["playground"],
        feedback=feedback_of(given, os.environ),
        tracing=tracing_from(os.environ),
        shadow=given["shadow"],
        either=given["either"],
        triton_tls=_triton_tls(given["triton_ca"], given["triton_name"]),
    )


def _triton_tls(authorities: Path | None, name: str | None) -> "TritonTls | None":
    from embedtune.serve.gateway.triton_client import TritonTls

    if name and not authorities:
        raise click.UsageError("--triton-name needs --triton-ca")
    return TritonTls(authorities, name) if authorities else None


def _issuer(given: Mapping[str, Any]) -> "Issuer | None":
    from embedtune.serve.gateway.access_tokens import Issuer

    if given["oidc_issuer"] is None:
        if given["oidc_audience"]:
            raise click.UsageError("--oidc-audience needs --oidc-issuer")
        return None
    return Issuer(given["oidc_issuer"], given["oidc_audience"], given["oidc_name_claim"])


if __name__ == "__main__":
    main()
