"""Write the reference pages, or check that they are up to date: `python -m embedtune.cli.reference [--check]`."""

import sys
from pathlib import Path

import click

import embedtune
from embedtune.cli.reference import commands, configuration, environment, exit_codes, http_api, python_api

FOLDER = Path(embedtune.__file__).resolve().parents[1] / "docs" / "reference"
PAGES = {
    "cli.md": commands.render,
    "configuration.md": configuration.render,
    "environment.md": environment.render,
    "exit-codes.md": exit_codes.render,
    "http-api.md": http_api.render,
    "python-api.md": python_api.render,
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--check", is_flag=True, help="Write nothing; fail when a page is stale.")
def main(check: bool) -> None:
    """Write docs/reference/ from the code."""
    pages = {FOLDER / name: render() for name, render in PAGES.items()}
    stale = [
        path for path, text in pages.items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    if check and stale:
        names = ", ".join(f"docs/reference/{path.name}" for path in stale)
        click.echo(f"stale: {names}; run `python -m embedtune.cli.reference` (or `make reference`)", err=True)
        sys.exit(1)
    if not check:
        for path in stale:
            path.write_text(pages[path], encoding="utf-8")
            click.echo(f"docs/reference/{path.name}")


if __name__ == "__main__":
    main()
