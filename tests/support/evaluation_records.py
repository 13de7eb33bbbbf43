"""Short forms of the evaluation's records for tests."""

from typing import Literal

from embedtune.core.records.evaluation import Interval, Measured, Promotion, Verdict, VerdictRecord

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
