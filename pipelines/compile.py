"""Compiles the pipelines to `pipelines/compiled`, or checks that the files there are up to date."""

import sys
import tempfile
from pathlib import Path
from typing import Literal

import click
from kfp import compiler

from pipelines.finetune import finetune
from pipelines.image import ROOT, image_tag
from pipelines.resources import Target

KINDS: tuple[Literal["gpu", "cpu"], ...] = ("gpu", "cpu")
COMPILED = Path(__file__).resolve().parent / "compiled"
# charts/embedtune has copies, since Flux leaves symbolic links out of what it takes from a repository.
CHART_FILES = ROOT / "charts" / "embedtune" / "files"


def targets(registry: str, cache_claim: str | None = None, base: str = "") -> tuple[Target, Target]:
    """Return the kinds of cluster that pipelines are compiled for."""
    tag = image_tag(base=base)
    gpu, cpu = (Target(kind, tag, registry, cache_claim=cache_claim) for kind in KINDS)
    return gpu, cpu


def compile_all(folder: Path, registry: str, cache_claim: str | None = None, base: str = "") -> list[Path]:
    """Write one YAML file per target into a folder and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for target in targets(registry, cache_claim, base):
        path = folder / f"{target.name}.yaml"
        compiler.Compiler().compile(finetune(target), str(path))
        paths.append(path)
    return paths


def stale(folder: Path, registry: str) -> list[str]:
    """Return the names of the files in a folder that compiling would change or add."""
    with tempfile.TemporaryDirectory() as fresh:
        return [
            path.name
            for path in compile_all(Path(fresh), registry)
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
@click.option("--registry", default="embedtune", show_default=True, help="Prefix of the image names.")
@click.option(
    "--cache-claim",
    metavar="NAME",
    help="PersistentVolumeClaim for the cache from which a retry resumes. [default: none]",
)
@click.option(
    "--base-image",
    default="",
    help="BASE_IMAGE with its digest, if the images were built on one: it is part of their tag.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=COMPILED,
    show_default="pipelines/compiled",
    help="Directory to write the files to.",
)
def main(check: bool, registry: str, cache_claim: str | None, base_image: str, output: Path) -> None:
    """Compile the pipelines. The tag of their images is a hash of the sources."""
    if not check:
        for path in compile_all(output, registry, cache_claim, base_image):
            click.echo(f"wrote {path}")
        copy_to_chart(output)
    elif names := stale(output, registry) + stale_in_chart(output):
        click.echo(
            f"stale: {', '.join(names)}. Run `python -m pipelines.compile` and commit the result.", err=True
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
