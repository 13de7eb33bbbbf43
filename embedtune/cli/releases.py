"""The commands `embedtune release …` and `embedtune reindex`."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embedtune.cli import views
from embedtune.cli.help_layout import OrderedGroup, examples
from embedtune.cli.options import FOLDER, build_config, config_options, output_options, work_option
from embedtune.cli.reporting import err, out, reporting, show
from embedtune.core.errors import ConfigError
from embedtune.core.retrieval.beir import read_records
from embedtune.core.secrets import secrets_of

if TYPE_CHECKING:
    from embedtune.core.records.deployment import EndpointDrift


@click.group(
    cls=OrderedGroup,
    epilog=examples(
        "embedtune release list --config embedtune.yaml",
        "embedtune release promote 2a5a5a56c044ccb4 --config embedtune.yaml",
    ),
)
def release() -> None:
    """List, promote, roll back and delete releases.

    `embedtune deploy` publishes releases; exactly one of them is live.
    """


@release.command(
    "list",
    epilog=examples(
        "embedtune release list --config embedtune.yaml",
        "embedtune release list --set release.uri=s3://bucket/releases --json",
    ),
)
@config_options
@output_options
def list_(as_json: bool, verbose: bool, **options: Any) -> None:
    """List the published releases.

    Newest first; the live release and previously live ones are marked.
    """
    from embedtune.deploy.site import open_store

    with reporting(verbose):
        config = build_config(options, os.environ)
        store = open_store(config.release, config.storage, secrets_of(config.generate, os.environ))
        found, live = store.releases(), store.live()
    record = {
        "live": live.model_dump(mode="json") if live else None,
        "releases": [{"id": entry.id, **entry.model_dump(mode="json")} for entry in found],
    }
    show(record, as_json, lambda: out.print(views.releases_table(found, live)))


@release.command(
    "show",
    epilog=examples(
        "embedtune release show 2a5a5a56c044ccb4 --config embedtune.yaml",
        "embedtune release show 2a5a5a56c044ccb4 --set release.uri=s3://bucket/releases",
    ),
)
@click.argument("name", metavar="ID")
@config_options
@output_options
def show_(name: str, as_json: bool, verbose: bool, **options: Any) -> None:
    """Show a release and its re-index plan.

    Prints as JSON what the release ID was made from, its files and their hashes.
    """
    from embedtune.deploy.site import open_store

    with reporting(verbose):
        config = build_config(options, os.environ)
        store = open_store(config.release, config.storage, secrets_of(config.generate, os.environ))
        found, plan = store.show(name), store.plan(name)
        reindexing = plan.model_dump(mode="json") if plan else None
        record = {"id": found.id, **found.model_dump(mode="json"), "reindex": reindexing}
    show(record, as_json, lambda: out.print_json(data=record))


@release.command(
    epilog=examples(
        "embedtune release promote 2a5a5a56c044ccb4 --config embedtune.yaml",
        "embedtune release promote 2a5a5a56c044ccb4 --work demo",
    )
)
@click.argument("name", metavar="ID")
@config_options
@work_option()
@output_options
def promote(name: str, work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Make a release live.

    The release ID goes live whatever its verdict was. If the smoke test fails, the previous release goes live
    again.
    """
    from embedtune.deploy.rollout import go_live
    from embedtune.deploy.site import endpoint_url, open_site

    with reporting(verbose) as progress:
        config = build_config(options, os.environ)
        site = open_site(config, secrets_of(config.generate, os.environ), work / "cache")
        smoke = go_live(site, site.find(name), progress)
    _say_live(name, smoke.drift(endpoint_url(config.deploy)), as_json)


@release.command(
    epilog=examples(
        "embedtune release rollback --config embedtune.yaml",
        "embedtune release rollback --set release.uri=s3://bucket/releases --json",
    )
)
@config_options
@work_option()
@output_options
def rollback(work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Go back to the previously live release."""
    from embedtune.deploy.rollout import go_live, previous
    from embedtune.deploy.site import endpoint_url, open_site

    with reporting(verbose) as progress:
        config = build_config(options, os.environ)
        site = open_site(config, secrets_of(config.generate, os.environ), work / "cache")
        name = previous(site)
        smoke = go_live(site, site.find(name), progress, back=True)
    _say_live(name, smoke.drift(endpoint_url(config.deploy)), as_json)


@release.command(
    epilog=examples(
        "embedtune release prune --config embedtune.yaml",
        "embedtune release prune --keep 10 --config embedtune.yaml",
    )
)
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Number of newest releases to keep.",
)
@config_options
@output_options
def prune(keep: int, as_json: bool, verbose: bool, **options: Any) -> None:
    """Delete old releases.

    The live release and the one before it are always kept.
    """
    from embedtune.deploy.site import open_store

    with reporting(verbose):
        config = build_config(options, os.environ)
        gone = open_store(config.release, config.storage, secrets_of(config.generate, os.environ)).prune(keep)
    show({"deleted": gone}, as_json, lambda: out.print(f"deleted: {', '.join(gone) or 'none'}", soft_wrap=True))


@release.command(
    epilog=examples(
        "embedtune release delete 2a5a5a56c044ccb4 --config embedtune.yaml",
        "embedtune release delete 2a5a5a56c044ccb4 --set release.uri=s3://bucket/releases",
    )
)
@click.argument("name", metavar="ID")
@config_options
@output_options
def delete(name: str, as_json: bool, verbose: bool, **options: Any) -> None:
    """Delete one release, unless it is live."""
    from embedtune.deploy.site import open_store

    with reporting(verbose):
        config = build_config(options, os.environ)
        open_store(config.release, config.storage, secrets_of(config.generate, os.environ)).delete([name])
    show({"deleted": [name]}, as_json, lambda: out.print(f"deleted: {name}", soft_wrap=True))


@release.command(
    epilog=examples(
        "embedtune release stop",
        "embedtune release stop --set deploy.port=9000",
    )
)
@config_options
@output_options
def stop(as_json: bool, verbose: bool, **options: Any) -> None:
    """Stop the Triton server on this machine.

    Stops the server that deploy, promote or rollback started in the background.
    """
    from embedtune.deploy.local_triton import LocalTriton

    with reporting(verbose):
        settings = build_config(options, os.environ).deploy
        if settings.target != "local":
            raise ConfigError(
                "this command can stop only the Triton server on this machine",
                got=f"deploy.target={settings.target}",
                fix="use `kubectl scale deployment` or `helm uninstall`",
            )
        triton = LocalTriton(settings.port, Path, settings.timeout_s)
        served = triton.current()
        triton.stop()
    said = (
        f"stopped the server of release {served}"
        if served
        else f"no Triton server started by embedtune is running on port {settings.port}"
    )
    show({"stopped": served}, as_json, lambda: err.print(said, soft_wrap=True))


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
@click.option("--endpoint", help="URL of the live service. [default: the one that deploy smoke-tests]")
@config_options
@output_options
def reindex(
    dataset: Path, output: Path, endpoint: str | None, as_json: bool, verbose: bool, **options: Any
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
        key = secrets_of(config.generate, os.environ).endpoint_api_key
        encoder = open_endpoint(url, config.contract, config.serve.model_name, key)
        done = embed(read_records(dataset / "corpus.jsonl"), encoder, output, progress)
    record = {**asdict(done), "file": str(output)}
    show(
        record,
        as_json,
        lambda: out.print(f"{output}: {done.passages} vectors, {done.embedded} of them new", soft_wrap=True),
    )


def _say_live(name: str, drift: "EndpointDrift", as_json: bool) -> None:
    figures = f"{drift.texts} texts, cosine similarity of at least {drift.cosine.min:.5f}"
    record = {"live": name, **drift.model_dump(mode="json")}
    show(record, as_json, lambda: err.print(f"{name} is live ({figures})", soft_wrap=True))
