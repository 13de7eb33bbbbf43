"""The commands `embedtune release …`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embedtune.cli import views
from embedtune.cli.help_layout import OrderedGroup, examples
from embedtune.cli.options import build_config, config_options, output_options, work_option
from embedtune.cli.reporting import err, out, reporting, show
from embedtune.core.errors import ConfigError
from embedtune.core.secrets import secrets_of

if TYPE_CHECKING:
    from embedtune.deploy.rollout import Rollout
    from embedtune.deploy.site import ServingSite
    from embedtune.serve.store.store import ReleaseStore


@click.group(
    cls=OrderedGroup,
    epilog=examples(
        "embedtune release list --config embedtune.yaml",
        "embedtune release promote 2a5a5a56c044ccb4 --config embedtune.yaml",
    ),
)
def release() -> None:
    """List, promote, roll back and delete releases.

    `embedtune deploy` publishes releases; at most one of them is live.
    """


@release.command(
    "list",
    epilog=examples(
        "embedtune release list --config embedtune.yaml",
        "embedtune release list --set release.uri=s3://bucket/releases --json",
    ),
)
@config_options
@work_option()
@output_options
def list_(work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """List the published releases.

    Newest first; the live release, its candidate and previously live ones are marked.
    """
    with reporting(verbose):
        store = _store(options, work)
        found, pointer = store.releases(), store.pointer()
    record = {
        "pointer": pointer.model_dump(mode="json"),
        "releases": [{"id": entry.id, **entry.model_dump(mode="json")} for entry in found],
    }
    show(record, as_json, lambda: out.print(views.releases_table(found, pointer), soft_wrap=True))


@release.command(
    "show",
    epilog=examples(
        "embedtune release show 2a5a5a56c044ccb4 --config embedtune.yaml",
        "embedtune release show 2a5a5a56c044ccb4 --set release.uri=s3://bucket/releases",
    ),
)
@click.argument("name", metavar="ID")
@config_options
@work_option()
@output_options
def show_(name: str, work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Show a release and its re-index plan.

    Prints as JSON what the release ID was made from, its files and their hashes.
    """
    with reporting(verbose):
        store = _store(options, work)
        found, plan = store.show(name), store.plan(name)
        reindexing = plan.model_dump(mode="json") if plan else None
        record = {"id": found.id, **found.model_dump(mode="json"), "reindex": reindexing}
    show(record, as_json, lambda: out.print_json(data=record))


@release.command(
    epilog=examples(
        "embedtune release save 2a5a5a56c044ccb4 --output release --config embedtune.yaml",
        "embedtune release save 2a5a5a56c044ccb4 --output release --work demo",
    )
)
@click.argument("name", metavar="ID")
@click.option(
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory to write the release to; it must not exist.",
)
@config_options
@work_option()
@output_options
def save(name: str, output: Path, work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Write a release to a directory.

    Verifies every file of the release ID. The directory is the content of an OCI image for the chart's
    release.image.
    """
    from embedtune.serve.store.image import save_release

    with reporting(verbose):
        found = save_release(_store(options, work), name, output)
    shown = {"release": found.id, "path": str(output), "signed": found.signature is not None}
    show(shown, as_json, lambda: out.print(f"{output}: release {found.id[:16]}", soft_wrap=True))


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

    The release ID goes live whatever its verdict was, once every replica has proven it; with deploy.flip=manual it
    becomes the candidate.
    """
    from embedtune.deploy.rollout import go_live

    with reporting(verbose) as progress:
        site = _site(options, work)
        rollout = go_live(site, name, progress, hold=site.deploy.flip == "manual")
    _say(rollout, as_json)


@release.command(
    epilog=examples(
        "embedtune release flip 2a5a5a56c044ccb4 --config embedtune.yaml",
        "embedtune release flip 2a5a5a56c044ccb4 --work demo",
    )
)
@click.argument("name", metavar="ID")
@config_options
@work_option()
@output_options
def flip(name: str, work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Make the candidate live.

    With deploy.flip=manual, a deployment stops when every replica has proven the release ID. Embed the passages
    through NAME@candidate, then run this command.
    """
    from embedtune.deploy.rollout import flip as switch

    with reporting(verbose) as progress:
        rollout = switch(_site(options, work), name, progress)
    _say(rollout, as_json)


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
    """Go back to the previously live release.

    Replicas keep it loaded until the next deployment, so that this takes a few seconds.
    """
    from embedtune.deploy.rollout import go_live, previous

    with reporting(verbose) as progress:
        site = _site(options, work)
        rollout = go_live(site, previous(site), progress, back=True)
    _say(rollout, as_json)


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
@work_option()
@output_options
def prune(keep: int, work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Delete old releases.

    The live release, its candidate and the one before it are always kept.
    """
    with reporting(verbose):
        gone = _store(options, work).prune(keep)
    show({"deleted": gone}, as_json, lambda: out.print(f"deleted: {', '.join(gone) or 'none'}", soft_wrap=True))


@release.command(
    epilog=examples(
        "embedtune release delete 2a5a5a56c044ccb4 --config embedtune.yaml",
        "embedtune release delete 2a5a5a56c044ccb4 --set release.uri=s3://bucket/releases",
    )
)
@click.argument("name", metavar="ID")
@config_options
@work_option()
@output_options
def delete(name: str, work: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Delete one release, unless it is live."""
    with reporting(verbose):
        _store(options, work).delete([name])
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
    from embedtune.deploy.local_replica import LocalReplica

    with reporting(verbose):
        settings = build_config(options, os.environ).deploy
        if settings.target != "local":
            raise ConfigError(
                "this command can stop only the Triton server on this machine",
                got=f"deploy.target={settings.target}",
                fix="use `kubectl scale deployment` or `helm uninstall`",
            )
        replica = LocalReplica(settings.port, settings.timeout_s)
        followed = replica.follows()
        replica.stop()
    said = (
        f"stopped the server of the releases in {followed}"
        if followed
        else f"no Triton server started by embedtune is running on port {settings.port}"
    )
    show({"stopped": followed}, as_json, lambda: err.print(said, soft_wrap=True))


def _store(options: dict[str, Any], work: Path) -> "ReleaseStore":
    from embedtune.deploy.site import open_store

    config = build_config(options, os.environ)
    return open_store(
        config.release, config.storage, secrets_of(config.generate, os.environ), (work / "cache").resolve()
    )


def _site(options: dict[str, Any], work: Path) -> "ServingSite":
    from embedtune.deploy.site import open_site

    config = build_config(options, os.environ)
    return open_site(config, secrets_of(config.generate, os.environ), (work / "cache").resolve())


def _say(rollout: "Rollout", as_json: bool) -> None:
    drift, name = rollout.drift, rollout.release.id
    figures = f"{drift.texts} texts, cosine similarity of at least {drift.cosine.min:.5f}"
    state = "is live" if rollout.live else "answers as candidate"
    record = {"release": name, "live": rollout.live, **drift.model_dump(mode="json")}
    show(record, as_json, lambda: err.print(f"{name[:16]} {state} ({figures})", soft_wrap=True))
