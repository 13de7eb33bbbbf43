"""Metrics as rows, and the verdict as the sentences that a manager reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

METRIC = "ndcg@10"
HEADLINES = ("ndcg@10", "mrr@10", "recall@1", "recall@10", "recall@100")
SYSTEMS = {  # in the order shown
    "bm25": "BM25",
    "base": "base",
    "champion": "champion",
    "tuned": "tuned",
    "endpoint": "endpoint",
}
FAMILIES = {"ndcg": "nDCG", "mrr": "MRR", "recall": "Recall", "precision": "Precision"}


@dataclass(frozen=True)
class MetricRow:
    """One metric on one set: the mean of each system, and the difference tuned - base with its interval."""

    set_name: str
    queries: int
    metric: str
    systems: dict[str, float]
    delta: float
    low: float
    high: float

    @property
    def direction(self) -> str:
        """Where the interval lies: "up", "down" or "unsure"."""
        return "up" if self.low > 0 else "down" if self.high < 0 else "unsure"


def to_table(metrics: dict[str, Any], wanted: Sequence[str] | None = None) -> list[MetricRow]:
    """Return metrics.json as rows, set by set.

    Args:
        metrics: The content of evaluation/metrics.json.
        wanted: Metrics in the order shown, those not measured left out; None: all.
    """
    rows = []
    for set_name, entry in metrics["sets"].items():
        measured = entry["delta"]
        for metric in measured if wanted is None else [name for name in wanted if name in measured]:
            means = {system: entry["systems"][system][metric] for system in SYSTEMS if system in entry["systems"]}
            delta = measured[metric]
            rows.append(
                MetricRow(set_name, entry["queries"], metric, means, delta["mean"], delta["low"], delta["high"])
            )
    return rows


def metric_title(metric: str) -> str:
    """Return a metric's name as it is written: nDCG@10."""
    family, _, cut = metric.partition("@")
    return f"{FAMILIES.get(family, family)}@{cut}"


def signed(value: float, decimals: int) -> str:
    """Return a number with its sign; a true minus, and no sign before zero."""
    shown = f"{value:+.{decimals}f}"
    if float(shown) == 0:
        return shown[1:]
    return shown.replace("-", "\N{MINUS SIGN}")


def verdict_sentences(metrics: dict[str, Any], verdict: dict[str, Any]) -> list[str]:
    """Say what happened on the deciding set, then on every other set that became worse."""
    rows = {row.set_name: row for row in to_table(metrics, [METRIC])}
    width = f"{verdict['confidence']:.0%}"
    decided = verdict["decided_on"]
    fallen = [row for name, row in rows.items() if name != decided and row.direction == "down"]
    return [_sentence(row, width) for row in (rows[decided], *fallen)]


def _sentence(row: MetricRow, width: str) -> str:
    decimals = next((d for d in (2, 3) if _adds_up(row, d)), 4)
    base, tuned = (f"{row.systems[system]:.{decimals}f}" for system in ("base", "tuned"))
    change = (
        f"stayed at {base}" if base == tuned else f"{'rose' if row.delta > 0 else 'fell'} from {base} to {tuned}"
    )
    low, high = signed(row.low, decimals), signed(row.high, decimals)
    questions = "question" if row.queries == 1 else "questions"
    doubt = " The interval contains 0: this may be chance." if row.direction == "unsure" else ""
    return (
        f"On {row.queries:,} {row.set_name} {questions} {metric_title(row.metric)} {change} "
        f"({signed(row.delta, decimals)}, {width} interval {low} … {high}).{doubt}"
    )


def _adds_up(row: MetricRow, decimals: int) -> bool:
    """Tell whether the rounded means differ by the rounded difference, so that no reader stumbles."""
    shown = round(row.systems["tuned"], decimals) - round(row.systems["base"], decimals)
    return abs(shown - round(row.delta, decimals)) < 1e-9 and (row.delta == 0 or abs(shown) > 1e-9)
