"""The command `embedtune compare`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import TypeAdapter
from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text

from embedtune.cli.console import interval_cell, table
from embedtune.cli.help_layout import examples
from embedtune.cli.options import FILE, FOLDER, output_options
from embedtune.cli.reporting import out, reporting, show
from embedtune.cli.views import SHOWN_METRICS

if TYPE_CHECKING:
    from embedtune.report.comparison import ComparedSet, Comparison


@click.command(
    epilog=examples("embedtune compare work work-5-epochs", "embedtune compare a b c --output three.html"),
)
@click.argument("works", nargs=-1, required=True, metavar="WORK WORK…", type=FOLDER)
@click.option(
    "--output", type=FILE, default="comparison.html", show_default=True, help="Page to write, with all figures."
)
@output_options
def compare(works: tuple[Path, ...], output: Path, as_json: bool, verbose: bool) -> None:
    """Compare the models of several runs.

    Shows the settings that differ and, on the questions that all runs were measured on, the figures of each tuned
    model and its paired difference from that of the first WORK, with an interval.
    """
    with reporting(verbose):
        from embedtune.local.compare import compare_works
        from embedtune.report.comparison import render_comparison

        found = compare_works(works)
        render_comparison(found, output)
    show(
        {"page": str(output), **TypeAdapter(type(found)).dump_python(found, mode="json")},
        as_json,
        lambda: out.print(*_lines(found), f"page: {output}", sep="\n", soft_wrap=True),
    )


def _lines(found: "Comparison") -> list[RenderableType]:
    lines: list[RenderableType] = []
    if found.settings:
        rows = [[escape(text) for text in (row.key, *row.values)] for row in found.settings]
        lines.append(table(["", *map(escape, found.names)], rows, "What differs"))
    else:
        lines.append("No setting and no size differs.")
    lines += [_set_table(entry, found) for entry in found.sets]
    lines += [Text(f"! {remark}", "yellow") for remark in found.remarks]
    return [*lines, *(Text(sentence) for sentence in found.sentences())]


def _set_table(entry: "ComparedSet", found: "Comparison") -> RenderableType:
    metrics = [metric for metric in SHOWN_METRICS if metric in entry.metrics]
    rows = []
    for work in entry.works:
        rows.append([f"{escape(work.name)}: base", *(f"{work.base[metric]:.4f}" for metric in metrics)])
        rows.append([f"{escape(work.name)}: tuned", *(f"{work.tuned[metric]:.4f}" for metric in metrics)])
        if work.change is not None:
            change = [work.change[metric] for metric in metrics]
            rows.append([f"  difference from {escape(found.names[0])}", *(f"{one.mean:+.4f}" for one in change)])
            rows.append(["  interval", *map(interval_cell, change)])
    families = f"{entry.units:,} {'family' if entry.units == 1 else 'families'} of documents"
    return table(["", *metrics], rows, f"\n{escape(entry.name)}: {entry.questions:,} questions, {families}")
