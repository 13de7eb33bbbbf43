"""Short forms of the evaluation's records for tests."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from embedtune.core.records.evaluation import (
    Examples,
    Interval,
    Measured,
    Promotion,
    SetSlices,
    Slice,
    Slices,
    Verdict,
    VerdictRecord,
)
from embedtune.core.records.metrics import Metrics, SetMetrics
from embedtune.report.evaluation import Changes, Evaluation, Found

DELTA = Interval(mean=0.0312, low=-0.001, high=0.06, units=20)

MEASURED = Measured(precision="fp32", attention="auto", dimension=384)


def interval(mean: float, low: float, high: float, units: int = 20) -> Interval:
    """Return an interval."""
    return Interval(mean=mean, low=low, high=high, units=units)


def make_verdict(
    verdict: str = "WIN",
    against: Literal["base", "champion"] = "base",
    *,
    decided_on: str = "synthetic",
    confidence: float = 0.95,
) -> VerdictRecord:
    """Return a verdict; the same one decides on promotion."""
    outcome = Verdict(verdict)
    return VerdictRecord(
        verdict=outcome,
        rule="the rule",
        metric="ndcg@10",
        confidence=confidence,
        decided_on=decided_on,
        delta=DELTA,
        reasons=(),
        promotion=Promotion(against=against, verdict=outcome, better=outcome is Verdict.WIN, delta=DELTA),
        measured=MEASURED,
        caution="",
    )


def make_slice(dimension: str, value: str, delta: Interval, *, queries: int = 50, small: bool = False) -> Slice:
    """Return a slice; its means are not looked at."""
    return Slice(dimension=dimension, value=value, queries=queries, units=20, small=small, systems={}, delta=delta)


def make_evaluation(
    delta: Interval,
    *,
    name: str = "hand",
    verdict: str | None = None,
    means: tuple[float, float, float] = (0.3, 0.5, 0.53),
    slices: Sequence[Slice] = (),
    against: Literal["base", "champion"] = "base",
    caution: str = "",
) -> Evaluation:
    """Return an evaluation of 100 questions on one set: 40 first places before, 45 after.

    Args:
        delta: The difference; the verdict follows from it unless it is given.
        name: Name of the set.
        verdict: The verdict.
        means: nDCG@10 of bm25, base and tuned.
        slices: Slices of the set.
        against: What promotion compares with; its verdict is the same.
        caution: That of the verdict.
    """
    by_rule = {"up": "WIN", "down": "REGRESSION", "unsure": "MARGINAL"}[delta.direction]
    record = make_verdict(verdict or by_rule, against, decided_on=name)
    systems = {key: {"ndcg@10": mean} for key, mean in zip(("bm25", "base", "tuned"), means, strict=True)}
    entry = SetMetrics(queries=100, units=delta.units, systems=systems, delta={"ndcg@10": delta})
    part = SetSlices(bm25_rank1_share=0.3, word_overlap=0.6, slices=tuple(slices))
    return Evaluation(
        Metrics(sets={name: entry}),
        record.model_copy(update={"delta": delta, "caution": caution}),
        Slices(metric="ndcg@10", small_below=10, sets={name: part}),
        Examples(seed=42, sets={}),
        Changes(np.array([0.5] * 20 + [-0.5] * 12 + [0.0] * 68), Found(40, 70), Found(45, 74)),
        {},
    )
