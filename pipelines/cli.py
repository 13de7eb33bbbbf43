"""The commands `embedtune pipeline …`, which the entry point in pyproject.toml adds to the command line."""

from pathlib import Path
from typing import Any

import click

from embedtune.cli.help_layout import OrderedGroup, examples
from embedtune.cli.options import FILE, FOLDER, output_options
from embedtune.cli.reporting import reporting, show
from pipelines import actions, views
from pipelines.options import (
    KIND,
    file_options,
    image_options,
    open_file,
    open_server,
    run_options,
    server_options,
)
from pipelines.specification import REGISTRY


@click.group(
    cls=OrderedGroup,
    epilog=examples("embedtune pipeline runs", "embedtune pipeline run --params retrain.yaml --wait"),
)
def pipeline() -> None:
    """Run the stages on Kubeflow Pipelines.

    Needs the extra `pipelines`. KFP_ENDPOINT or --endpoint names the server: best its UI, for example
    http://localhost:8080 after `kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80`.
    """


@pipeline.command(
    "compile",
    epilog=examples(
        "embedtune pipeline compile --registry registry.example/team",
        "embedtune pipeline compile --kind cpu --registry registry.example/team --tag v7 --output pipelines",
    ),
)
@click.option("--kind", type=KIND, metavar="KIND", help="Only this one: gpu or cpu. [default: both]")
@image_options
@click.option("--cache-claim", metavar="NAME", help="PersistentVolumeClaim for the cache. [default: none]")
@click.option("--queue", metavar="NAME", help="Kueue's LocalQueue in which GPU tasks wait. [default: none]")
@click.option("--output", type=FOLDER, default="compiled", show_default=True, help="Directory to write to.")
@output_options
def compile_command(output: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Compile the pipelines for your images.

    `images/build` builds the images and says their tag; --registry is where they have been pushed to.
    """
    with reporting(verbose):
        from pipelines.compile import KINDS, compile_one

        kinds = (options["kind"],) if options["kind"] else KINDS
        registry, tag = options["registry"] or REGISTRY, options["tag"] or ""
        given = (registry, tag, options["cache_claim"], options["queue"])
        paths = [str(compile_one(kind, output, *given)) for kind in kinds]
    show({"written": paths}, as_json, lambda: views.print_lines(*paths))


@pipeline.command(
    epilog=examples("embedtune pipeline upload --kind cpu", "embedtune pipeline upload compiled/finetune-gpu.yaml")
)
@click.argument("file", required=False, type=FILE)
@click.option("--name", default="", metavar="NAME", help="Name of the pipeline. [default: the one in the file]")
@file_options
@server_options
@output_options
def upload(file: Path | None, name: str, as_json: bool, verbose: bool, **options: Any) -> None:
    """Register a pipeline and its version, once.

    FILE is a compiled pipeline. The version is named by the hash of the file: the same file is registered once,
    and a changed one becomes the newest version.
    """
    with reporting(verbose):
        from pipelines.registry import register

        with open_file(file, options) as path:
            server = open_server(options)
            record, lines = views.registered(server, register(server, path, name))
    show(record, as_json, lambda: views.print_lines(*lines))


@pipeline.command(
    epilog=examples(
        "embedtune pipeline run --params retrain.yaml --once 4f1c2a9 --wait",
        'embedtune pipeline run --kind cpu --set documents=s3://handbook/docs --schedule "0 3 * * 1"',
    )
)
@click.argument("file", required=False, type=FILE)
@run_options
@file_options
@server_options
@output_options
def run(file: Path | None, as_json: bool, verbose: bool, **options: Any) -> None:
    """Start a run, at once or on a schedule.

    FILE is a compiled pipeline, which is registered unless it is there. All parameters are checked before anything
    is started. With --wait, exit status 0 means that the run ended well, whatever its verdict.
    """
    with reporting(verbose):
        actions.check_options(file, options)
        server = open_server(options)
        wanted = actions.wanted_run(server, file, options)
        if options["schedule"]:
            record = actions.schedule(server, wanted, options)
        else:
            record = actions.start(server, wanted, options)
    show(record, as_json, lambda: views.print_lines(*views.result(record)))


@pipeline.command(epilog=examples("embedtune pipeline runs", "embedtune pipeline runs --limit 50 --json"))
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="How many.")
@server_options
@output_options
def runs(limit: int, as_json: bool, verbose: bool, **options: Any) -> None:
    """List the newest runs with state and figures."""
    with reporting(verbose):
        from pipelines.runs import newest

        server = open_server(options)
        records = views.run_records(server, newest(server, limit))
    show(records, as_json, lambda: views.print_runs(records, server.ui))


@pipeline.command(epilog=examples("embedtune pipeline watch 4f1c2a9", "embedtune pipeline watch 4f1c2a9 --json"))
@click.argument("run")
@server_options
@output_options
def watch(run: str, as_json: bool, verbose: bool, **options: Any) -> None:
    """Follow a run to its end.

    RUN is its name or id. Interrupting this leaves the run going. Exit status 0 means that the run ended well,
    whatever its verdict.
    """
    with reporting(verbose):
        from pipelines.runs import find

        server = open_server(options)
        record = actions.follow(server, find(server, run))
    show(record, as_json, lambda: views.print_lines(*views.result(record)))
