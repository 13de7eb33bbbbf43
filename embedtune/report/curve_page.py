"""The page of a learning curve: the answer, the curves with intervals, and the figures."""

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from embedtune.core.records.curve import Kind, LearningCurve, SetCurve
from embedtune.core.retrieval.metrics import metric_title
from embedtune.report.charts import Gains, gains
from embedtune.report.templates import page_templates

COLOURS: Mapping[Kind, str] = {"questions": "tuned", "documents": "champion"}
NAMES: Mapping[Kind, str] = {
    "questions": "fewer questions about the same documents",
    "documents": "fewer documents, with their questions",
}


def render_curve(curve: LearningCurve, page: Path) -> None:
    """Write the page: one file that refers to no other and runs no script.

    Args:
        curve: What to show.
        page: File to write.
    """
    template = page_templates().get_template("curve.html")
    first = [one for one in curve.sets if one.name == curve.decided_on]
    text = template.render(
        curve=curve,
        sets=[*first, *(one for one in curve.sets if one.name != curve.decided_on)],
        metric=metric_title(curve.metric),
        width=f"{curve.confidence:.0%}",
        charts={one.name: _chart(one, metric_title(curve.metric)) for one in curve.sets},
        names=NAMES,
        colours=COLOURS,
    )
    page.write_text(text, encoding="utf-8")


def _chart(one: SetCurve, metric: str) -> Markup:
    series = [
        Gains(NAMES[kind], COLOURS[kind], [(float(point.questions), point.gain) for point in points])
        for kind, points in one.curves.items()
    ]
    return gains(series, "questions trained on", f"Gain in {metric} on {one.name} by questions trained on")
