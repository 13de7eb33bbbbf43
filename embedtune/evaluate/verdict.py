"""The verdict: WIN, MARGINAL or REGRESSION, by a rule that a reader can check against the stored intervals."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from embedtune.core.errors import ConfigError
from embedtune.evaluate.bootstrap import Differences, Interval

METRIC = "ndcg@10"
RULE = (
    "WIN: the {width:.0%} bootstrap interval of the paired nDCG@10 difference lies above 0 on the deciding set. "
    "REGRESSION: it lies below 0 on any set, whatever the deciding set says. MARGINAL: everything else."
)


class Verdict(StrEnum):
    """What the evaluation comes to."""

    WIN = "WIN"
    MARGINAL = "MARGINAL"
    REGRESSION = "REGRESSION"


def judge(differences: Mapping[str, Interval], decided_on: str) -> Verdict:
    """Apply the rule.

    Args:
        differences: Interval of the nDCG@10 difference on each set.
        decided_on: Name of the deciding set.
    """
    if any(interval.high < 0 for interval in differences.values()):
        return Verdict.REGRESSION
    return Verdict.WIN if differences[decided_on].low > 0 else Verdict.MARGINAL


def deciding_set(wanted: str | None, synthetic: str, further: Sequence[str]) -> str:
    """Return the name of the set that decides: the configured one, else the first further set, else the synthetic.

    Raises:
        ConfigError: The configured one is not evaluated.
    """
    names = [*further, synthetic]
    if wanted is None:
        return names[0]
    if wanted not in names:
        raise ConfigError(
            "evaluate.decide_on names no set of this evaluation",
            got=wanted,
            expected=" or ".join(names),
            fix="name it by --eval-set NAME=DIR, or change evaluate.decide_on",
        )
    return wanted


def verdict_record(
    against_base: Differences,
    against_champion: Differences | None,
    decided_on: str,
    confidence: float,
) -> dict[str, object]:
    """Return the content of verdict.json.

    Promotion (may the tuned model replace what is live?) is judged by the same rule against the champion; without
    one, against the base.
    """
    ours = {name: metrics[METRIC] for name, metrics in against_base.items()}
    rival = {name: metrics[METRIC] for name, metrics in (against_champion or against_base).items()}
    promotion = judge(rival, decided_on)
    return {
        "verdict": judge(ours, decided_on).value,
        "rule": RULE.format(width=confidence),
        "metric": METRIC,
        "confidence": confidence,
        "decided_on": decided_on,
        "delta": ours[decided_on].record,
        "reasons": [_reason(name, interval, name == decided_on) for name, interval in ours.items()],
        "promotion": {
            "against": "champion" if against_champion else "base",
            "verdict": promotion.value,
            "better": promotion is Verdict.WIN,
            "delta": rival[decided_on].record,
        },
    }


def _reason(name: str, interval: Interval, decides: bool) -> str:
    where = "above 0" if interval.low > 0 else "below 0" if interval.high < 0 else "contains 0"
    role = " (decides)" if decides else ""
    return f"{name}{role}: {interval.mean:+.4f}, interval {interval.low:+.4f} to {interval.high:+.4f}, {where}"
