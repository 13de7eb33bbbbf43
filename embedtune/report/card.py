"""The full model card: the model's own README, completed with the evaluation's figures."""

from pathlib import Path

from embedtune.core.errors import ArtifactError
from embedtune.core.formatting import signed
from embedtune.core.records.evaluation import VERDICT_FILE, VerdictRecord
from embedtune.core.records.metrics import METRICS_FILE, Metrics, SetMetrics
from embedtune.core.records.questions import LICENCE
from embedtune.core.records.training import EVALUATION_MARK
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title
from embedtune.report.card_metadata import CardFacts, with_metadata
from embedtune.report.metric_rows import (
    HEADLINES,
    SYSTEMS,
    MetricRow,
    measured_sentence,
    metric_rows,
    systems_of,
    verdict_sentences,
)
from embedtune.report.work import Work, open_work

CARD_FILE = "model_card.md"
README = "README.md"


def complete_model_card(work: Path) -> Path:
    """Write `model_card.md` into a work directory: next to the model, because artifacts are never edited.

    Args:
        work: Directory with a model artifact and, for the figures, an evaluation.

    Raises:
        ArtifactError: The model has no README with a place for the figures, or a record of the evaluation is
            missing, damaged, or of another version.
    """
    card = work / CARD_FILE
    card.write_text(render_model_card(open_work(work), CardFacts()), encoding="utf-8")
    return card


def render_model_card(opened: Work, facts: CardFacts) -> str:
    """Return the model's README with the figures of its evaluation, in its text and in its metadata.

    Args:
        opened: A work directory with a model artifact and, for the figures, an evaluation.
        facts: What the work directory does not say.

    Raises:
        ArtifactError: As for `complete_model_card`.
        InputError: A fact is not in the form that the Hugging Face Hub takes.
    """
    work = opened.path
    readme = opened.text("model", README)
    if readme is None or EVALUATION_MARK not in readme:
        raise ArtifactError(
            "the model has no card to complete",
            got=str(work / "model" / README),
            expected=f"a file with the line {EVALUATION_MARK}",
            fix=f"remove {work / 'model'} and run `embedtune train` again",
        )
    metrics = opened.record("evaluation", METRICS_FILE, Metrics)
    verdict = opened.record("evaluation", VERDICT_FILE, VerdictRecord)
    figures = _figures(metrics, verdict) if metrics and verdict else "Not evaluated yet."
    text = readme.replace(EVALUATION_MARK, figures, 1) + _questions(opened)
    return with_metadata(text, facts, metrics)


def _questions(work: Work) -> str:
    """Return the section about who wrote the questions, and what has to be known before the model is passed on."""
    questions = work.manifests.get("questions")
    if questions is None:
        return ""
    said = questions.report.metrics
    generator, judge = said.get("generator"), said.get("judge")
    if not generator:
        return ""
    judged = "which judged them too" if judge == generator else f"and `{judge}` judged them"
    licence = (
        f"Licence of the model that wrote them: {said[LICENCE]}."
        if LICENCE in said
        else "embedtune does not know the licence or terms of that model: before you pass this model on, check "
        "that they allow training with its output."
    )
    written = f"The training questions were written by the language model `{generator}`, {judged}."
    return f"\n## Questions\n\n{written} {licence}\n"


def _figures(metrics: Metrics, verdict: VerdictRecord) -> str:
    lines = [f"**{verdict.verdict}.** {' '.join(verdict_sentences(metrics, verdict))}", ""]
    for name, entry in metrics.sets.items():
        decides = ", the deciding set" if name == verdict.decided_on else ""
        families = f"{entry.units:,} {'family' if entry.units == 1 else 'families'} of documents"
        lines += [f"### {name}: {entry.queries:,} questions about {families}{decides}", ""]
        systems = systems_of(entry)
        header = ["metric", *(SYSTEMS[system] for system in systems), "tuned − base", "interval"]  # noqa: RUF001
        lines += [_line(header), _line(["---"] * len(header))]
        lines += [*(_line(_cells(row, systems)) for row in metric_rows(entry, HEADLINES)), ""]
        lines += _sizes(entry)
    return "\n".join([*lines, measured_sentence(verdict.measured), "", verdict.rule])


def _sizes(entry: SetMetrics) -> list[str]:
    """Return the table of the deciding metric with smaller vectors, or nothing if there is only one size."""
    if not entry.smaller:
        return []
    header = ["dimensions", "base", "tuned", "tuned − base", "interval", "tuned − full size", "interval"]  # noqa: RUF001
    lines = [
        f"{metric_title(DECIDING_METRIC)} with smaller vectors:",
        "",
        _line(header),
        _line(["---"] * len(header)),
    ]
    for size in entry.smaller:
        means = [f"{size.systems[system][DECIDING_METRIC]:.4f}" for system in ("base", "tuned")]
        pairs = [
            text
            for change in (size.delta[DECIDING_METRIC], size.change)
            for text in (signed(change.mean, 4), f"{signed(change.low, 4)} … {signed(change.high, 4)}")
        ]
        lines.append(_line([str(size.dimension), *means, *pairs]))
    return [*lines, ""]


def _cells(row: MetricRow, systems: list[str]) -> list[str]:
    means = [f"{row.systems[system]:.4f}" for system in systems]
    return [
        metric_title(row.metric),
        *means,
        signed(row.delta.mean, 4),
        f"{signed(row.delta.low, 4)} … {signed(row.delta.high, 4)}",
    ]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
