"""The page that compares work directories: settings that differ, figures, and paired differences."""

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from embedtune.core.formatting import signed
from embedtune.core.records.evaluation import Interval
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title
from embedtune.report.plots import Row, forest
from embedtune.report.templates import page_templates

NOT_KNOWN = "-"


@dataclass(frozen=True)
class SettingRow:
    """A setting, or a size, that is not the same in all work directories.

    Args:
        key: Its name.
        values: Its value in each work directory, in their order.
    """

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class WorkFigures:
    """The figures of one work directory on one set.

    Args:
        name: The work directory.
        questions: Number of its own questions in the set; the figures are of those that all have.
        base: Mean of each metric of its base model.
        tuned: Mean of each metric of its tuned model.
        change: Paired difference of its tuned model and that of the first work directory, by metric; None for the
            first one itself.
        better: Number of questions with a better value of the deciding metric than in the first; None for itself.
        worse: Number of those with a worse value.
    """

    name: str
    questions: int
    base: dict[str, float]
    tuned: dict[str, float]
    change: dict[str, Interval] | None = None
    better: int | None = None
    worse: int | None = None


@dataclass(frozen=True)
class ComparedSet:
    """One evaluation set that all work directories have.

    Args:
        name: Its name.
        questions: Number of questions that all of them were measured on.
        units: Document families of these questions.
        metrics: The metrics that all of them have, in the order shown.
        works: The figures of each.
    """

    name: str
    questions: int
    units: int
    metrics: tuple[str, ...]
    works: tuple[WorkFigures, ...]


@dataclass(frozen=True)
class Comparison:
    """Work directories side by side; the first one is what the others are compared with.

    Args:
        names: A short name of each work directory.
        paths: Where they are.
        settings: What is not the same in all of them.
        sets: The sets that all of them were measured on.
        confidence: Width of the intervals, for example 0.95.
        remarks: What to know before trusting the figures.
    """

    names: tuple[str, ...]
    paths: tuple[str, ...]
    settings: tuple[SettingRow, ...]
    sets: tuple[ComparedSet, ...]
    confidence: float
    remarks: tuple[str, ...]

    @property
    def places(self) -> list[tuple[str, str]]:
        """The name and the path of each work directory."""
        return list(zip(self.names, self.paths, strict=True))

    def sentences(self) -> list[str]:
        """Say for each set and each further work directory whether it is better than the first one."""
        return [
            _sentence(entry, works, self.names[0], self.confidence)
            for entry in self.sets
            for works in entry.works[1:]
        ]


def _sentence(entry: ComparedSet, works: WorkFigures, first: str, confidence: float) -> str:
    assert works.change is not None  # noqa: S101 - only the first has none
    change = works.change[DECIDING_METRIC]
    said = f"On {entry.questions:,} {entry.name} questions, {works.name}"
    if change.unbounded:
        return f"{said} cannot be compared with {first}: {change.units} families are too few for an interval."
    outcome = {"up": "is better than", "down": "is worse than", "unsure": "differs by no more than chance from"}
    return (
        f"{said} {outcome[change.direction]} {first}: {metric_title(DECIDING_METRIC)} {signed(change.mean, 4)} "
        f"({confidence:.0%} interval {signed(change.low, 4)} … {signed(change.high, 4)})."
    )


def render_comparison(comparison: Comparison, page: Path) -> None:
    """Write the page: one file that refers to no other and runs no script.

    Args:
        comparison: What to show.
        page: File to write.
    """
    template = page_templates().get_template("comparison.html")
    page.write_text(
        template.render(
            comparison=comparison,
            metric=DECIDING_METRIC,
            width=f"{comparison.confidence:.0%}",
            chart=_chart(comparison),
        ),
        encoding="utf-8",
    )


def _chart(comparison: Comparison) -> Markup | None:
    rows = [
        Row(
            label=works.name,
            detail="",
            interval=works.change[DECIDING_METRIC],
            heading=f"{entry.name}: {entry.questions:,} questions" if number == 0 else "",
        )
        for entry in comparison.sets
        for number, works in enumerate(entry.works[1:])
        if works.change is not None
    ]
    title = f"Difference in {metric_title(DECIDING_METRIC)} from {comparison.names[0]}"
    return forest(rows, title) if rows else None
