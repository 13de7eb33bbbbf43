"""Renders results as tables, lines and JSON; the commands print what these functions return."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from embedtune.cli.console import FigureTable, interval_cell, table
from embedtune.core.artifacts import StageReport
from embedtune.core.config.origins import DEFAULT
from embedtune.core.formatting import counted, duration, figure
from embedtune.core.records.base import read_record
from embedtune.core.records.evaluation import VERDICT_FILE, VerdictRecord
from embedtune.core.records.metrics import METRICS_FILE, Metrics, SetMetrics
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.report.metric_rows import verdict_sentences

if TYPE_CHECKING:
    from embedtune.core.config.origins import Setting
    from embedtune.core.retrieval.side_by_side import Hit
    from embedtune.local.estimate import RunEstimate
    from embedtune.local.preflight.finding import Finding
    from embedtune.serve.store.records import Pointer, Published

VERDICT_STYLE = {"WIN": "bold green", "MARGINAL": "bold yellow", "REGRESSION": "bold red"}
SHOWN_METRICS = (DECIDING_METRIC, "recall@10", "mrr@10")
EXCERPT_WORDS = 20
WORSE_OR_EQUAL = {"marginal": {"MARGINAL", "REGRESSION"}, "regression": {"REGRESSION"}}


def stage_line(report: StageReport) -> Text:
    """Return one line for a stage: its main figures and its duration, then its notes."""
    figures = ", ".join(f"{key} {figure(value)}" for key, value in list(report.metrics.items())[:6])
    line = Text.assemble((f"{report.stage:<9}", "bold"), figures, (f"  {duration(report.seconds)}", "dim"))
    for note in report.notes:
        line.append(f"\n          ! {note}", style="yellow")
    return line


@dataclass(frozen=True)
class Summary:
    """The outcome of a run: the reports of its stages, and the verdict if evaluate was among them."""

    work: Path
    reports: list[StageReport]
    page: Path
    verdict: VerdictRecord | None
    metrics: Metrics | None

    @classmethod
    def of(cls, work: Path, reports: list[StageReport], page: Path, *, evaluated: bool) -> Self:
        """Return the verdict of a finished run."""
        if not evaluated:
            return cls(work, reports, page, None, None)
        verdict = read_record(work / "evaluation" / VERDICT_FILE, VerdictRecord)
        metrics = read_record(work / "evaluation" / METRICS_FILE, Metrics)
        return cls(work, reports, page, verdict, metrics)

    def fails(self, fail_on: str | None) -> bool:
        """Return whether the verdict is as bad as `fail_on` or worse."""
        return fail_on is not None and self.verdict is not None and self.verdict.verdict in WORSE_OR_EQUAL[fail_on]

    def as_json(self) -> dict[str, object]:
        """Return the summary as plain data."""
        return {
            "work": str(self.work),
            "report": str(self.page),
            "stages": [asdict(report) for report in self.reports],
            "verdict": self.verdict.model_dump(mode="json") if self.verdict else None,
            "metrics": self.metrics.model_dump(mode="json") if self.metrics else None,
        }

    def as_text(self) -> list[RenderableType]:
        """Return what is printed to the terminal."""
        parts: list[RenderableType] = []
        if self.metrics is not None and self.verdict is not None:
            parts += [metrics_table(name, entry) for name, entry in self.metrics.sets.items()]
            name = self.verdict.verdict
            sentences = " ".join(verdict_sentences(self.metrics, self.verdict))
            parts.append(Text.assemble("\n", (name, VERDICT_STYLE[name]), f"  {sentences}"))
        parts.append(f"report: {self.page}")
        return parts


def metrics_table(name: str, entry: SetMetrics) -> FigureTable:
    """Return the table of one evaluation set: the systems, and the difference with its confidence interval."""
    rows = [
        [system, *(f"{values[metric]:.4f}" for metric in SHOWN_METRICS)]
        for system, values in entry.systems.items()
    ]
    if entry.hybrid is not None:
        rows += [
            [f"{system} + bm25", *(f"{values[metric]:.4f}" for metric in SHOWN_METRICS)]
            for system, values in entry.hybrid.systems.items()
        ]
    delta = [entry.delta[metric] for metric in SHOWN_METRICS]
    rows.append(["tuned - base", *(f"{d.mean:+.4f}" for d in delta)])
    rows.append(["interval", *map(interval_cell, delta)])
    families = counted(entry.units, "family", "families")
    return table(
        ["", *SHOWN_METRICS],
        rows,
        title=f"\n{name}: {counted(entry.queries, 'question')}, {families} of documents",
    )


def estimate_table(estimate: "RunEstimate") -> FigureTable:
    """Return an estimate as a table."""
    return table(["", "about"], [list(row) for row in estimate.rows()], title="Estimate")


def findings_table(findings: "Sequence[Finding]") -> Table:
    """Return the findings of `embedtune doctor`."""
    marks = {"fine": "[green]fine[/]", "note": "[yellow]note[/]", "wrong": "[red]wrong[/]"}
    out = Table(box=None, header_style="bold")
    for header in ("", "check", "found", "fix"):
        out.add_column(header, overflow="fold", no_wrap=header == "check")
    for finding in findings:
        out.add_row(marks[finding.status], finding.checked, Text(finding.found), Text(finding.fix))
    return out


def settings_table(settings: "Sequence[Setting]") -> Table:
    """Return the settings of `embedtune config show`."""
    out = Table(box=None, header_style="bold")
    for header in ("setting", "value", "from"):
        out.add_column(header, overflow="fold", no_wrap=header == "setting")
    for entry in settings:
        value = Text(json.dumps(entry.value, ensure_ascii=False))
        out.add_row(entry.key, value, Text(entry.origin, style="dim" if entry.origin == DEFAULT else ""))
    return out


def releases_table(releases: "Sequence[Published]", pointer: "Pointer") -> FigureTable:
    """Return the published releases as a table."""
    states = dict.fromkeys(pointer.before, "before")
    if pointer.candidate:
        states[pointer.candidate.id] = "candidate"
    if pointer.live:
        states[pointer.live] = "live"
    rows = []
    for release in releases:
        size = f"{release.size / 1e6:.1f} MB"
        shown = [release.id[:16], states.get(release.id, ""), release.published[:19]]
        rows.append([*shown, release.release.target, size])
    return table(["release", "", "published", "target", "size"], rows)


def search_table(question: str, found: "Mapping[str, Sequence[Hit]]") -> Table:
    """Return the hits of each model for a question, side by side; with two models, changes of rank are marked."""
    out = Table(
        title=Text(f"\n{question}", "bold"),
        title_justify="left",
        box=None,
        header_style="bold",
        padding=(0, 2, 1, 0),
        pad_edge=False,
        expand=True,
    )
    for model in found:
        out.add_column(model, ratio=1)
    for hits in zip(*found.values(), strict=True):
        out.add_row(
            *(_hit_text(hit, model if len(found) > 1 else "") for model, hit in zip(found, hits, strict=True))
        )
    return out


def _hit_text(hit: "Hit", model: str) -> Text:
    line = Text.assemble((f"{hit.rank}. ", "bold"), (f"{hit.score:.3f}", "dim"))
    if model:
        line.append(*_move(hit, model))
    place, cut, text = hit.text.partition("\n")
    if cut:  # the first line is the heading path: document > chapter > section
        *above, title = place.split(" > ")
        line.append(f"\n{title}", "bold").append(f" · {' > '.join(above)}" if above else "", "dim")
    words = (text if cut else place).split()
    return line.append("\n" + " ".join(words[:EXCERPT_WORDS]) + (" …" if len(words) > EXCERPT_WORDS else ""))


def _move(hit: "Hit", model: str) -> tuple[str, str]:
    """Return how the tuned model changed the rank of a passage, and the colour to show it in."""
    if hit.other_rank == hit.rank:
        return " =", "dim"
    later = hit.other_rank is None or hit.other_rank > hit.rank  # the other model ranks it lower
    where = "beyond 100" if hit.other_rank is None else str(hit.other_rank)
    rose, word = (not later, "to") if model == "base" else (later, "from")
    return f" {'▲' if rose else '▼'} {word} {where}", "green" if rose else "red"
