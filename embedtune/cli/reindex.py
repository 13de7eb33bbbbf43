"""The command `embedtune reindex`."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from embedtune.cli.help_layout import examples
from embedtune.cli.options import FOLDER, build_config, config_options, output_options
from embedtune.cli.reporting import out, reporting, show
from embedtune.core.errors import ConfigError
from embedtune.core.retrieval.beir import read_records
from embedtune.core.secrets import secrets_of


@click.command(
    epilog=examples(
        "embedtune reindex --dataset work/dataset --to vectors.parquet --config embedtune.yaml",
        "embedtune reindex --dataset work/dataset --to vectors.parquet --endpoint http://127.0.0.1:8080",
    )
)
@click.option("--dataset", required=True, type=FOLDER, help="Dataset artifact or BEIR directory with the corpus.")
@click.option(
    "--to",
    "output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Parquet file to write, with the columns id and vector.",
)
@click.option("--endpoint", help="URL of the live service. [default: deploy.endpoint]")
@click.option(
    "--candidate", is_flag=True, help="Embed with the release that is to be live next (needs the gateway)."
)
@config_options
@output_options
def reindex(
    dataset: Path,
    output: Path,
    endpoint: str | None,
    candidate: bool,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Embed a corpus through the live endpoint.

    Writes the vectors that a vector store needs after a new release. If interrupted, run it again to resume.
    """
    from embedtune.core.encoders.remote import open_endpoint
    from embedtune.deploy.reindex import reindex as embed
    from embedtune.deploy.site import endpoint_url

    with reporting(verbose) as progress:
        config = build_config(options, os.environ)
        url = endpoint or endpoint_url(config.deploy)
        if candidate and not url.startswith("http"):
            raise ConfigError(
                "only the gateway can pin the candidate",
                got=url,
                expected="http(s)://host:port",
                fix="start the gateway and give its address with --endpoint",
            )
        key = secrets_of(config.generate, os.environ).endpoint_api_key
        name = config.serve.model_name + ("@candidate" if candidate else "")
        encoder = open_endpoint(url, config.contract, name, key)
        done = embed(read_records(dataset / "corpus.jsonl"), encoder, output, progress)
    record = {**asdict(done), "file": str(output)}
    show(
        record,
        as_json,
        lambda: out.print(f"{output}: {done.passages} vectors, {done.embedded} of them new", soft_wrap=True),
    )
