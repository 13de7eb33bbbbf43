"""The verdict: WIN, MARGINAL or REGRESSION, by a rule that a reader can check against the stored intervals."""

from collections.abc import Mapping, Sequence

from embedtune.core.comparisons import SYNTHETIC
from embedtune.core.config.evaluate import EvaluateSettings
from embedtune.core.errors import ConfigError
from embedtune.core.records.evaluation import Interval, Measured, Promotion, Verdict, VerdictRecord
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title
from embedtune.evaluate.intervals import Differences, Sampling
from embedtune.evaluate.lexical_leak import LexicalLeak

RULE = (
    "WIN: the {width:.0%} interval of the paired {metric} difference lies above 0 on the deciding set. "
    "REGRESSION: it lies below 0 on any set, whatever the deciding set says. MARGINAL: in all other cases. "
    "The units of an interval are families of near-duplicate documents, not single questions; with fewer than "
    "{fewest} families there is no interval. If there are several training seeds, their spread is part of it."
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


def deciding_set(settings: EvaluateSettings, further: Sequence[str]) -> str:
    """Return the name of the deciding set: the configured one, the first that is no guard set, or synthetic.

    Args:
        settings: `decide_on` and `guard_sets`.
        further: Names of the sets that are evaluated in addition to the synthetic one.

    Raises:
        ConfigError: The configured set is not evaluated, or is a guard set; or a guard set is not evaluated.
    """
    if unknown := [name for name in settings.guard_sets if name not in further]:
        raise ConfigError(
            "evaluate.guard_sets names a set that is not evaluated",
            got=unknown[0],
            expected=" or ".join(further) or "the name of an --eval-set",
            fix="add that set with --eval-set NAME=DIR, or change evaluate.guard_sets",
        )
    names = [name for name in [*further, SYNTHETIC] if name not in settings.guard_sets]
    wanted = settings.decide_on
    if wanted is None:
        return names[0]
    if wanted in settings.guard_sets:
        raise ConfigError(
            "evaluate.decide_on is one of evaluate.guard_sets, which never decide",
            got=wanted,
            expected=" or ".join(names),
            fix="change one of the two settings",
        )
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
    sampling: Sampling,
    measured: Measured,
    leak: LexicalLeak | None = None,
    guard_sets: Sequence[str] = (),
) -> VerdictRecord:
    """Return the content of verdict.json.

    Promotion (may the tuned model replace the live one?) follows the same rule against the champion; without one,
    against the base.

    Args:
        against_base: Differences tuned - base.
        against_champion: Differences tuned - champion; None without one.
        decided_on: Name of the deciding set.
        sampling: How the intervals were computed.
        measured: Precision and size of the vectors.
        leak: What matching words achieves on the deciding set; None if that is not known.
        guard_sets: Names of the sets on which the tuned model only must not be worse.
    """
    roles = {decided_on: " (decides)", **dict.fromkeys(guard_sets, " (guards)")}
    ours = {name: metrics[DECIDING_METRIC] for name, metrics in against_base.items()}
    to_replace = {name: metrics[DECIDING_METRIC] for name, metrics in (against_champion or against_base).items()}
    promotion = verdict_of(to_replace, decided_on)
    fewest = sampling.fewest_units
    return VerdictRecord(
        verdict=verdict_of(ours, decided_on),
        rule=RULE.format(width=sampling.confidence, metric=metric_title(DECIDING_METRIC), fewest=fewest),
        metric=DECIDING_METRIC,
        confidence=sampling.confidence,
        decided_on=decided_on,
        delta=ours[decided_on],
        reasons=tuple(_reason(name + roles.get(name, ""), interval, fewest) for name, interval in ours.items()),
        promotion=Promotion(
            against="champion" if against_champion else "base",
            verdict=promotion,
            better=promotion is Verdict.WIN,
            delta=to_replace[decided_on],
        ),
        measured=measured,
        caution=_caution(leak),
    )


def _caution(leak: LexicalLeak | None) -> str:
    if leak is None or not leak.found:
        return ""
    advice = "a small set of people's questions decides better (`embedtune eval-set`, then --eval-set)"
    return f"{leak.sentence}{'; ' + advice if leak.name == SYNTHETIC else ''}."


def _reason(name: str, interval: Interval, fewest: int) -> str:
    start = f"{name}: {interval.mean:+.4f}, "
    families = f"{interval.units} document {'family' if interval.units == 1 else 'families'}"
    if interval.units < fewest:
        return f"{start}no interval: the questions are about {families}, at least {fewest} are needed"
    position = POSITIONS[interval.direction]
    return f"{start}interval {interval.low:+.4f} to {interval.high:+.4f}, {position}, {families}"
