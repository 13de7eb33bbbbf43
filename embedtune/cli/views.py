"""What the command line shows: results as tables, lines and JSON. Makes them; `cli.py` prints them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from embedtune.cli.console import table
from embedtune.core.artifacts import StageReport
from embedtune.report.figures import verdict_sentences

if TYPE_CHECKING:
    from embedtune.core.retrieval.comparison import Hit
    from embedtune.local.doctor import Finding
    from embedtune.local.estimate import RunEstimate
    from embedtune.serve.store.records import Live, Published

VERDICT_STYLE = {"WIN": "bold green", "MARGINAL": "bold yellow", "REGRESSION": "bold red"}
SHOWN_METRICS = ("ndcg@10", "recall@10", "mrr@10")
EXCERPT_WORDS = 20
WORSE_OR_EQUAL = {"marginal": {"MARGINAL", "REGRESSION"}, "regression": {"REGRESSION"}}


def stage_line(report: StageReport) -> Text:
    """Return one line: what a stage did and how long it took."""
    figures = ", ".join(f"{key} {_figure(value)}" for key, value in list(report.metrics.items())[:6])
    line = Text.assemble((f"{report.stage:<9}", "bold"), figures, (f"  {duration(report.seconds)}", "dim"))
    for note in report.notes:
        line.append(f"\n          ! {note}", style="yellow")
    return line


def duration(seconds: float) -> str:
    """Return a duration as people say it: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _figure(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Summary:
    """The end of a run: its stages, and the verdict if it got that far."""

    work: Path
    reports: list[StageReport]
    page: Path
    verdict: dict[str, Any] | None
    metrics: dict[str, Any] | None

    @classmethod
    def of(cls, work: Path, reports: list[StageReport], page: Path, *, evaluated: bool) -> Self:
        """Read the verdict of a finished run."""
        folder = work / "evaluation"
        read = [json.loads((folder / f"{name}.json").read_text()) for name in ("verdict", "metrics") if evaluated]
        return cls(work, reports, page, *(read or (None, None)))

    def fails(self, fail_on: str | None) -> bool:
        """Tell whether the verdict is one that the user does not accept."""
        return (
            fail_on is not None and self.verdict is not None and self.verdict["verdict"] in WORSE_OR_EQUAL[fail_on]
        )

    def as_json(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        return {
            "work": str(self.work),
            "report": str(self.page),
            "stages": [asdict(report) for report in self.reports],
            "verdict": self.verdict,
            "metrics": self.metrics,
        }

    def as_text(self) -> list[RenderableType]:
        """Return what the terminal shows."""
        parts: list[RenderableType] = []
        if self.metrics is not None and self.verdict is not None:
            parts += [metrics_table(name, entry) for name, entry in self.metrics["sets"].items()]
            name = self.verdict["verdict"]
            sentences = " ".join(verdict_sentences(self.metrics, self.verdict))
            parts.append(Text.assemble("\n", (name, VERDICT_STYLE[name]), f"  {sentences}"))
        parts.append(f"report: {self.page}")
        return parts


def metrics_table(name: str, entry: dict[str, Any]) -> Table:
    """Return the table of one evaluation set: systems, and the difference with its interval."""
    rows = [
        [system, *(f"{values[metric]:.4f}" for metric in SHOWN_METRICS)]
        for system, values in entry["systems"].items()
    ]
    delta = [entry["delta"][metric] for metric in SHOWN_METRICS]
    rows.append(["tuned - base", *(f"{d['mean']:+.4f}" for d in delta)])
    rows.append(["interval", *(f"{d['low']:+.4f} … {d['high']:+.4f}" for d in delta)])
    return table(["", *SHOWN_METRICS], rows, title=f"\n{name}: {entry['queries']} questions")


def estimate_table(estimate: "RunEstimate") -> Table:
    """Return an estimate as a table."""
    return table(["", "about"], [list(row) for row in estimate.rows()], title="Before anything is spent")


def findings_table(findings: "Sequence[Finding]") -> Table:
    """Return the findings of `embedtune doctor`."""
    marks = {"fine": "[green]fine[/]", "note": "[yellow]note[/]", "wrong": "[red]wrong[/]"}
    out = Table(box=None, header_style="bold")
    for header in ("", "checked", "found", "do"):
        out.add_column(header)
    for finding in findings:
        out.add_row(marks[finding.status], finding.checked, Text(finding.found), Text(finding.fix))
    return out


def releases_table(releases: "Sequence[Published]", live: "Live | None") -> Table:
    """Return the published releases as a table."""
    rows = []
    for release in releases:
        state = (
            "live" if live and live.id == release.id else "before" if live and release.id in live.before else ""
        )
        size = f"{release.size / 1e6:.1f} MB"
        rows.append([release.id, state, release.published[:19], release.release.target, size])
    return table(["release", "", "published", "target", "size"], rows)


def search_table(question: str, found: "Mapping[str, Sequence[Hit]]") -> Table:
    """Return what each model found for a question, side by side; with two models, what moved is marked."""
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
    if cut:  # the first line says where it stands: document > chapter > section
        *above, title = place.split(" > ")
        line.append(f"\n{title}", "bold").append(f" · {' > '.join(above)}" if above else "", "dim")
    words = (text if cut else place).split()
    return line.append("\n" + " ".join(words[:EXCERPT_WORDS]) + (" …" if len(words) > EXCERPT_WORDS else ""))


def _move(hit: "Hit", model: str) -> tuple[str, str]:
    """Return what the tuned model did to a passage's rank, and its colour."""
    if hit.other_rank == hit.rank:
        return " =", "dim"
    later = hit.other_rank is None or hit.other_rank > hit.rank  # it stands lower with the other model
    where = "beyond 100" if hit.other_rank is None else str(hit.other_rank)
    rose, word = (not later, "to") if model == "base" else (later, "from")
    return f" {'▲' if rose else '▼'} {word} {where}", "green" if rose else "red"
