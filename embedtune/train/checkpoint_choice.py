"""Which checkpoint is kept: the last one, unless an earlier one is better by more than the noise of dev."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from embedtune.train.dev import BY_QUESTION, mean

STANDARD_ERRORS = 2.0  # a smaller difference is seen in one of 20 trainings without any


def kept_step(best: int, last: int, history: Sequence[Mapping[str, Any]], families: Mapping[str, str]) -> int:
    """Return the step to keep.

    The best of a few measurements on some dozens of questions is often the best by chance, and an early one has
    learned less (docs/experiments.md, "Which checkpoint is kept").

    Args:
        best: The step with the greatest mean on dev.
        last: The last step.
        history: The log of transformers' trainer, with the measurements of both.
        families: The document family of each dev question.
    """
    if best == last:
        return last
    values = {entry["step"]: entry[f"eval_{BY_QUESTION}"] for entry in history if f"eval_{BY_QUESTION}" in entry}
    return best if is_clearly_better(values[best], values[last], families) else last


def is_clearly_better(ours: Mapping[str, float], theirs: Mapping[str, float], families: Mapping[str, str]) -> bool:
    """Return whether a mean is greater by more than `STANDARD_ERRORS` of the paired difference.

    Questions about one document family are not independent, so the standard error is computed from the sums over
    each family (cluster-robust, Liang and Zeger 1986).

    Args:
        ours: A value for each question.
        theirs: The same of the other.
        families: The family of each question.
    """
    differences = {query: ours[query] - theirs[query] for query in ours}
    middle = mean(differences)
    sums: dict[str, float] = defaultdict(float)
    for query, difference in differences.items():
        sums[families[query]] += difference - middle
    error = math.sqrt(math.fsum(value**2 for value in sums.values())) / len(differences)
    return middle > STANDARD_ERRORS * error
