"""The full model card: the model's own README with the verdict's figures put in."""

from pathlib import Path
from typing import Any

from embedtune.core.errors import ArtifactError
from embedtune.report.figures import (
    HEADLINES,
    SYSTEMS,
    MetricRow,
    metric_title,
    signed,
    to_table,
    verdict_sentences,
)
from embedtune.report.work import open_work

CARD_FILE = "model_card.md"
README = "README.md"
EVALUATION_MARK = "<!-- evaluation -->"  # train leaves it where the figures belong


def complete_model_card(work: Path) -> Path:
    """Write `model_card.md` into a work directory: artifacts are never edited, so it stands beside the model.

    Args:
        work: Directory with a model artifact and, for the figures, an evaluation.

    Raises:
        ArtifactError: The model has no README with a place for the figures.
    """
    opened = open_work(work)
    readme = opened.text("model", README)
    if readme is None or EVALUATION_MARK not in readme:
        raise ArtifactError(
            "the model has no card to complete",
            got=str(work / "model" / README),
            expected=f"a file with the line {EVALUATION_MARK}",
            fix=f"remove {work / 'model'} and run `embedtune train` again",
        )
    metrics, verdict = opened.data("evaluation", "metrics.json"), opened.data("evaluation", "verdict.json")
    figures = _figures(metrics, verdict) if metrics and verdict else "Not evaluated yet."
    card = work / CARD_FILE
    card.write_text(readme.replace(EVALUATION_MARK, figures, 1), encoding="utf-8")
    return card


def _figures(metrics: dict[str, Any], verdict: dict[str, Any]) -> str:
    lines = [f"**{verdict['verdict']}.** {' '.join(verdict_sentences(metrics, verdict))}", ""]
    for name, entry in metrics["sets"].items():
        decides = ", the deciding set" if name == verdict["decided_on"] else ""
        lines += [f"### {name}: {entry['queries']:,} questions{decides}", ""]
        systems = [system for system in SYSTEMS if system in entry["systems"]]
        header = ["metric", *(SYSTEMS[system] for system in systems), "tuned − base", "interval"]  # noqa: RUF001
        lines += [_line(header), _line(["---"] * len(header))]
        rows = to_table({"sets": {name: entry}}, HEADLINES)
        lines += [*(_line(_cells(row, systems)) for row in rows), ""]
    return "\n".join([*lines, verdict["rule"]])


def _cells(row: MetricRow, systems: list[str]) -> list[str]:
    means = [f"{row.systems[system]:.4f}" for system in systems]
    return [
        metric_title(row.metric),
        *means,
        signed(row.delta, 4),
        f"{signed(row.low, 4)} … {signed(row.high, 4)}",
    ]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
