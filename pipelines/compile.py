"""Compiles the pipelines; as a command, to `pipelines/compiled`, or checks that the files there are up to date.

`embedtune pipeline compile` is the command for other images, a claim for the cache and another folder.
"""

import re
import sys
import tempfile
from pathlib import Path
from typing import Literal

import click
from kfp import compiler

from embedtune.core.errors import ConfigError
from pipelines.finetune import finetune
from pipelines.image import ROOT, image_tag, in_checkout
from pipelines.resources import Target
from pipelines.specification import COMPILED, REGISTRY

Kind = Literal["gpu", "cpu"]
KINDS: tuple[Kind, ...] = ("gpu", "cpu")
# charts/embedtune has copies, since Flux leaves symbolic links out of what it takes from a repository.
CHART_FILES = ROOT / "charts" / "embedtune" / "files"


def compile_one(
    kind: Kind,
    folder: Path,
    registry: str,
    tag: str = "",
    cache_claim: str | None = None,
    queue: str | None = None,
) -> Path:
    """Write the pipeline for a kind of cluster into a folder, and return its path.

    Args:
        kind: The kind of cluster.
        folder: The folder, which is created.
        registry: Prefix of the images' names.
        tag: Their tag; "": that of these sources.
        cache_claim: PersistentVolumeClaim for the cache; None: no cache.
        queue: Kueue's queue for GPU tasks; None: none.
    """
    target = Target(kind, tag or tag_of_sources(), registry, cache_claim=cache_claim, queue=queue)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{target.name}.yaml"
    compiler.Compiler().compile(finetune(target), str(path))
    return path


def tag_of_sources() -> str:
    """Return the tag of the images that are built from these sources.

    Outside a checkout, a part of the sources is missing: the pipelines that came with the package have their hash.
    """
    if in_checkout():
        return image_tag()
    shipped = COMPILED / "finetune-cpu.yaml"
    text = shipped.read_text(encoding="utf-8") if shipped.is_file() else ""
    if (found := re.search(r"image: embedtune/cpu:(\S+)", text)) is None:
        raise ConfigError("the tag of the images is not known here", fix="--tag TAG")
    return found[1]


def compile_all(folder: Path) -> list[Path]:
    """Write one YAML file per kind of cluster, with the images' own names; return their paths."""
    tag = tag_of_sources()
    return [compile_one(kind, folder, REGISTRY, tag) for kind in KINDS]


def stale(folder: Path) -> list[str]:
    """Return the names of the files in a folder that compiling would change or add."""
    with tempfile.TemporaryDirectory() as fresh:
        return [
            path.name
            for path in compile_all(Path(fresh))
            if not (folder / path.name).is_file() or (folder / path.name).read_bytes() != path.read_bytes()
        ]


def copy_to_chart(folder: Path, chart_files: Path = CHART_FILES) -> None:
    """Copy the committed pipelines into the chart; outside a checkout there is none."""
    if folder == COMPILED and chart_files.is_dir():
        for path in sorted(folder.glob("*.yaml")):
            (chart_files / path.name).write_bytes(path.read_bytes())


def stale_in_chart(folder: Path, chart_files: Path = CHART_FILES) -> list[str]:
    """Return the names of the chart's files that differ from the committed pipelines."""
    if folder != COMPILED or not chart_files.is_dir():
        return []
    copies = {path: chart_files / path.name for path in sorted(folder.glob("*.yaml"))}
    return [
        copy.relative_to(ROOT).as_posix()
        for path, copy in copies.items()
        if not copy.is_file() or copy.read_bytes() != path.read_bytes()
    ]


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit with status 1 if a file is stale.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=COMPILED,
    show_default="pipelines/compiled",
    help="Directory to write the files to.",
)
def main(check: bool, output: Path) -> None:
    """Compile the pipelines. The tag of their images is a hash of the sources."""
    if not check:
        for path in compile_all(output):
            click.echo(f"wrote {path}")
        copy_to_chart(output)
    elif names := stale(output) + stale_in_chart(output):
        click.echo(
            f"stale: {', '.join(names)}. Run `python -m pipelines.compile` and commit the result.", err=True
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
