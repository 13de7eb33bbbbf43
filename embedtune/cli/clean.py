"""The command `embedtune clean`."""

import sys

import click

from embedtune.cli.console import table
from embedtune.cli.help_layout import examples
from embedtune.cli.reporting import out, reporting
from embedtune.core.errors import ConfigError


@click.command(epilog=examples("embedtune clean", "embedtune clean --yes"))
@click.option("--yes", is_flag=True, help="Remove without asking first.")
def clean(yes: bool) -> None:
    """Remove what is kept outside of WORK.

    Shows the Triton that embedtune has installed, what it has served on this machine and files left in the folder
    for temporary files, with their sizes, and asks before it removes them. What is in use, and what other
    programs use too, such as models from the hub, is only shown. Work directories are never touched: remove them
    by hand.
    """
    with reporting(verbose=False):
        from embedtune.local.outside import kept_outside, remove

        found = kept_outside()
        if not found:
            out.print("nothing is kept outside of the work directories")
            return
        rows = [[one.what, f"{one.size / 1e6:,.1f} MB", str(one.paths[0]), one.left] for one in found]
        out.print(table(["", "size", "where", "stays"], rows), soft_wrap=True)
        ours = [one for one in found if not one.left]
        if not ours:
            out.print("nothing to remove")
            return
        if not yes and not _agreed(sum(one.size for one in ours)):
            out.print("nothing was removed")
            return
        remove(ours)
        out.print(f"removed: {sum(one.size for one in ours) / 1e6:,.1f} MB")


def _agreed(size: int) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("embedtune clean removes files and cannot ask here", fix="add --yes")
    return click.confirm(f"Remove {size / 1e6:,.1f} MB?", default=False)
