"""Options that several commands of `embedtune pipeline` share, and what they stand for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from embedtune.cli.options import FILE, Command, OneOf
from embedtune.core.errors import ConfigError, InputError
from pipelines.specification import COMPILED, REGISTRY

if TYPE_CHECKING:
    from pipelines.compile import Kind
    from pipelines.server import Server

DEFAULT_KIND: "Kind" = "gpu"
KIND = OneOf(("gpu", "cpu"))


def _all(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


server_options = _all(
    click.option(
        "--endpoint",
        envvar="KFP_ENDPOINT",
        default="",
        metavar="URL",
        help="Kubeflow Pipelines: its UI or, without figures and links, its API. [or: KFP_ENDPOINT]",
    ),
    click.option(
        "--namespace", default="", metavar="NAME", help="Namespace of the runs, if KFP has several users."
    ),
    click.option(
        "--token-file",
        envvar="KFP_TOKEN_FILE",
        type=FILE,
        help="File with a service account's token, read again for each request. [or: KFP_TOKEN_FILE]",
    ),
    click.option("--ca-file", type=FILE, help="PEM file with the certificates that sign the server's."),
    click.option("--ui", default="", metavar="URL", help="Its UI. [default: the endpoint, if it is one]"),
)
image_options = _all(
    click.option("--registry", metavar="PREFIX", help=f"Prefix of the images' names. [default: {REGISTRY}]"),
    click.option("--tag", metavar="TAG", help="Tag of the images. [default: that of this version's sources]"),
)
file_options = _all(
    click.option("--kind", type=KIND, help=f"Pipeline of this version, without FILE. [default: {DEFAULT_KIND}]"),
    image_options,
)
run_options = _all(
    click.option(
        "--params", type=FILE, metavar="FILE", help="Parameters of the run (YAML), one `name: value` each."
    ),
    click.option("--set", "typed", multiple=True, metavar="NAME=VALUE", help="One parameter; can be repeated."),
    click.option(
        "--once",
        metavar="KEY",
        help="Name of the run; start it unless KFP has a run of this name. In KEY and in TEXT, {documents} means "
        "the version of the documents (s3://).",
    ),
    click.option("--wait", is_flag=True, help="Follow the run to its end, also one that was there."),
    click.option(
        "--schedule",
        metavar="CRON",
        help='Start a run at these times, such as "0 3 * * 1"; KFP reads them as UTC.',
    ),
    click.option("--name", metavar="NAME", help="Name of the run. [default: the pipeline's, with the time]"),
    click.option("--description", default="", metavar="TEXT", help="What the UI shows as its description."),
    click.option(
        "--experiment", default="Default", show_default=True, metavar="NAME", help="Its experiment in KFP."
    ),
    click.option(
        "--service-account", default="", metavar="NAME", help="Service account of its pods. [default: KFP's]"
    ),
    click.option("--pipeline", "known", metavar="NAME", help="A registered pipeline, instead of FILE or --kind."),
    click.option("--version", default="", metavar="NAME", help="Its version. [default: the newest]"),
)


def open_server(options: Mapping[str, Any]) -> "Server":
    """Return the server that the options name."""
    from pipelines.server import Access, connect

    names = ("endpoint", "namespace", "token_file", "ca_file", "ui")
    return connect(Access(**{name: options[name] for name in names}))


@contextmanager
def open_file(file: Path | None, options: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the compiled pipeline that is meant: a file, or one of this version for the images that are named.

    Raises:
        ConfigError: Both were given.
        InputError: There is no such file.
    """
    named = [f"--{name}" for name in ("kind", "registry", "tag") if options[name]]
    kind: Kind = options["kind"] or DEFAULT_KIND
    if file is not None:
        if named:
            raise ConfigError("a compiled pipeline names its images", got=f"{file} and {', '.join(named)}")
        if not file.is_file():
            raise InputError("there is no such file", got=str(file), expected="a compiled pipeline")
        yield file
    elif options["registry"] or options["tag"]:
        from pipelines.compile import compile_one

        with TemporaryDirectory(prefix="embedtune-") as folder:
            yield compile_one(kind, Path(folder), options["registry"] or REGISTRY, options["tag"] or "")
    else:
        path = COMPILED / f"finetune-{kind}.yaml"
        if not path.is_file():  # in our images, which a compiled pipeline names
            raise InputError("no compiled pipeline is installed here", fix="name the images: --registry and --tag")
        yield path
