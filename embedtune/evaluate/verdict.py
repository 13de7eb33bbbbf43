"""The verdict: WIN, MARGINAL or REGRESSION, by a rule that a reader can check against the stored intervals."""

from collections.abc import Mapping, Sequence

from embedtune.core.comparisons import SYNTHETIC
from embedtune.core.errors import ConfigError
from embedtune.core.records.evaluation import Interval, Promotion, Verdict, VerdictRecord
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title
from embedtune.evaluate.bootstrap import Differences
from embedtune.evaluate.lexical_leak import LexicalLeak

RULE = (
    "WIN: the {width:.0%} bootstrap interval of the paired {metric} difference lies above 0 on the deciding set. "
    "REGRESSION: it lies below 0 on any set, whatever the deciding set says. MARGINAL: in all other cases."
)
POSITIONS = {"up": "above 0", "down": "below 0", "unsure": "contains 0"}


def verdict_of(differences: Mapping[str, Interval], decided_on: str) -> Verdict:
    """Apply the rule.

    Args:
        differences: Interval of the nDCG@10 difference on each set.
        decided_on: Name of the deciding set.
    """
    if any(interval.direction == "down" for interval in differences.values()):
        return Verdict.REGRESSION
    return Verdict.WIN if differences[decided_on].direction == "up" else Verdict.MARGINAL


def deciding_set(wanted: str | None, further: Sequence[str]) -> str:
    """Return the name of the deciding set: the configured one, the first additional set, or the synthetic one.

    Args:
        wanted: The setting evaluate.decide_on.
        further: Names of the sets that are evaluated in addition to the synthetic one.

    Raises:
        ConfigError: The configured set is not evaluated.
    """
    names = [*further, SYNTHETIC]
    if wanted is None:
        return names[0]
    if wanted not in names:
        raise ConfigError(
            "evaluate.decide_on is not one of the evaluated sets",
            got=wanted,
            expected=" or ".join(names),
            fix="add that set with --eval-set NAME=DIR, or change evaluate.decide_on",
        )
    return wanted


def verdict_record(
    against_base: Differences,
    against_champion: Differences | None,
    decided_on: str,
    confidence: float,
    leak: LexicalLeak | None = None,
) -> VerdictRecord:
    """Return the content of verdict.json.

    Promotion (may the tuned model replace the live one?) follows the same rule against the champion; without one,
    against the base.

    Args:
        against_base: The differences tuned - base.
        against_champion: The differences tuned - champion; None without one.
        decided_on: Name of the deciding set.
        confidence: Width of the intervals.
        leak: What matching words achieves on the deciding set; None if that is not known.
    """
    ours = {name: metrics[DECIDING_METRIC] for name, metrics in against_base.items()}
    to_replace = {name: metrics[DECIDING_METRIC] for name, metrics in (against_champion or against_base).items()}
    promotion = verdict_of(to_replace, decided_on)
    return VerdictRecord(
        verdict=verdict_of(ours, decided_on),
        rule=RULE.format(width=confidence, metric=metric_title(DECIDING_METRIC)),
        metric=DECIDING_METRIC,
        confidence=confidence,
        decided_on=decided_on,
        delta=ours[decided_on],
        reasons=tuple(_reason(name, interval, name == decided_on) for name, interval in ours.items()),
        promotion=Promotion(
            against="champion" if against_champion else "base",
            verdict=promotion,
            better=promotion is Verdict.WIN,
            delta=to_replace[decided_on],
        ),
        caution=_caution(leak),
    )


def _caution(leak: LexicalLeak | None) -> str:
    if leak is None or not leak.found:
        return ""
    advice = "a small set of people's questions decides better (`embedtune eval-set`, then --eval-set)"
    return f"{leak.sentence}{'; ' + advice if leak.name == SYNTHETIC else ''}."


def _reason(name: str, interval: Interval, decides: bool) -> str:
    role = " (decides)" if decides else ""
    position = POSITIONS[interval.direction]
    return f"{name}{role}: {interval.mean:+.4f}, interval {interval.low:+.4f} to {interval.high:+.4f}, {position}"
