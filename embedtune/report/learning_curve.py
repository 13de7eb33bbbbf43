"""What a learning curve shows: whether more questions or more documents would help, or that it cannot be told.

The rule is our own. It looks at one step, from the largest share to everything, because that is the closest that
was measured to having more. A gain that is still seen there is the only evidence that more of the same helps;
learning curves usually flatten but do not have to (Viering and Loog, "The Shape of Learning Curves: A Review",
2021), so nothing is extrapolated. A step is called flat only if its interval excludes a gain that would be worth
the work (an equivalence test); an interval that contains both 0 and such a gain shows neither.
"""

import math
from collections.abc import Mapping, Sequence

from embedtune.core.formatting import signed
from embedtune.core.records.curve import Answer, CurvePoint, Judgement, Kind
from embedtune.core.records.evaluation import Interval
from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title

# Our choice: of nDCG@10; about a third of the gain on the sample handbook, and less than other settings change.
WORTHWHILE = 0.01
MORE: Mapping[Kind, str] = {
    "questions": "more questions about the same documents",
    "documents": "more documents (with questions about them)",
}
ASKED: Mapping[Judgement, str] = {
    "helps": "would probably help",
    "flat": "would hardly help",
    "hurts": "would not help: the last step made the model worse",
}


def judge(step: Interval) -> Judgement:
    """Return what the last step of a curve shows.

    Args:
        step: Paired difference of the deciding metric between everything and the largest share.
    """
    if step.unbounded:
        return "unknown"
    if step.high < 0:
        return "hurts"
    if step.high < WORTHWHILE:
        return "flat"
    return "helps" if step.low > 0 else "unknown"


def answer(kind: Kind, points: Sequence[CurvePoint], fewest_units: int) -> Answer:
    """Say whether more of one kind would help.

    Args:
        kind: The kind.
        points: The points of its curve on the deciding set, the last of which is everything.
        fewest_units: Document families below which there is no interval.
    """
    last, step = points[-1], points[-1].step
    assert step is not None  # noqa: S101 - a curve has a share and everything
    judgement = judge(step)
    metric, before = metric_title(DECIDING_METRIC), points[-2]
    seen = f"From {before.share} % of the {kind} ({before.questions:,} questions) to all ({last.questions:,})"
    if step.unbounded:
        return Answer(
            judgement=judgement,
            sentence=f"Whether {MORE[kind]} would help cannot be told: the test questions are about {step.units} "
            f"{'family' if step.units == 1 else 'families'} of documents, and an interval needs {fewest_units}.",
        )
    moved = f"{seen}, {metric} changed by {signed(step.mean, 4)} ({signed(step.low, 4)} … {signed(step.high, 4)})"
    why = {
        "helps": f"{moved}: the gain is above chance, and the curve still rises.",
        "flat": f"{moved}: a gain of {WORTHWHILE} is excluded.",
        "hurts": f"{moved}: look at the questions first (embedtune questions).",
        "unknown": f"{moved}: this contains both no gain and one of {WORTHWHILE}. {_needed(step)}",
    }
    asked = ASKED.get(judgement)
    start = f"{_upper(MORE[kind])} {asked}." if asked else f"Whether {MORE[kind]} would help cannot be told."
    return Answer(judgement=judgement, sentence=f"{start} {why[judgement]}")


def conclusion(judgements: Mapping[Kind, Judgement], trainings: int) -> str:
    """Say in one sentence whether more questions, more documents or neither would help.

    Args:
        judgements: What the last step shows, by kind; kinds that were not measured are left out.
        trainings: Trainings per share; the intervals leave out the chance in a single one.
    """
    once = trainings == 1 and set(judgements.values()) != {"unknown"}
    return _concluded(judgements) + (" This rests on one training per share." if once else "")


def _concluded(judgements: Mapping[Kind, Judgement]) -> str:
    helping = [kind for kind, found in judgements.items() if found == "helps"]
    unknown = [kind for kind, found in judgements.items() if found == "unknown"]
    useless = [kind for kind in judgements if kind not in helping and kind not in unknown]
    if len(helping) > 1:
        return (
            "More questions and more documents would both probably help. Which of them helps more cannot be told: "
            "a smaller share of the documents has fewer questions too."
        )
    parts = [f"more {kind} would probably help" for kind in helping]
    if len(useless) > 1:
        parts.append("neither more questions nor more documents like these would help noticeably")
    else:
        parts += [f"more {kind} like these would not help noticeably" for kind in useless]
    if unknown:
        parts.append(
            f"whether more {' or more '.join(unknown)} would help cannot be told from these test questions"
        )
    return f"{_upper('; '.join(parts))}."


def _needed(step: Interval) -> str:
    """Say how much larger the test set must be for an interval that cannot contain both: narrower than that gain.

    The width falls with the root of the number of families.
    """
    times = math.floor(((step.high - step.low) / WORTHWHILE) ** 2) + 1
    return f"A test set about {times:,} times as large, with other documents, could tell."


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
