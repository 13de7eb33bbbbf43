"""What the report reads from an evaluation artifact: its records, and how single questions changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedtune.core.records.evaluation import (
    EXAMPLES_FILE,
    SLICES_FILE,
    VERDICT_FILE,
    Examples,
    Slices,
    VerdictRecord,
)
from embedtune.core.records.metrics import METRICS_FILE, Metrics, SetMetrics
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.report.work import Work

LONGEST = 120  # characters of a question that is shown as an example
TOP = 10  # results that a person looks through: the cut-off of the deciding metric


@dataclass(frozen=True)
class Found:
    """For how many questions one system has a right passage at the first place, and among the first ten."""

    first: int
    top: int


@dataclass(frozen=True)
class Changes:
    """How the questions of the deciding set changed.

    Args:
        values: Change of the deciding metric, base to tuned, one per question.
        base: What the base model found.
        tuned: What the tuned model found.
        shown: Two of the questions, if there are as many, for readers who know how people ask.
    """

    values: npt.NDArray[np.float64]
    base: Found
    tuned: Found
    shown: tuple[str, ...] = ()

    @property
    def better(self) -> int:
        """Number of questions that gained."""
        return int((self.values > 0).sum())

    @property
    def worse(self) -> int:
        """Number of questions that lost."""
        return int((self.values < 0).sum())

    @property
    def same(self) -> int:
        """Number of questions that did not change."""
        return len(self.values) - self.better - self.worse


@dataclass(frozen=True)
class Evaluation:
    """The records of an evaluation artifact, its figures by name, and the changes on the deciding set."""

    metrics: Metrics
    verdict: VerdictRecord
    slices: Slices
    examples: Examples
    changes: Changes
    figures: Mapping[str, float | int | str]

    @property
    def decided_on(self) -> str:
        """Name of the deciding set."""
        return self.verdict.decided_on

    @property
    def deciding(self) -> SetMetrics:
        """The metrics of the deciding set."""
        return self.metrics.sets[self.decided_on]

    def deciding_first(self, names: Iterable[str]) -> list[str]:
        """Order names of sets: the deciding set first, the others as they are."""
        return sorted(names, key=lambda name: name != self.decided_on)


def read_evaluation(work: Work) -> Evaluation | None:
    """Read the records of the evaluation; None before evaluate.

    Raises:
        ArtifactError: A record is missing, damaged, or of another version.
    """
    metrics = work.record("evaluation", METRICS_FILE, Metrics)
    verdict = work.record("evaluation", VERDICT_FILE, VerdictRecord)
    slices = work.record("evaluation", SLICES_FILE, Slices)
    examples = work.record("evaluation", EXAMPLES_FILE, Examples)
    if metrics is None or verdict is None or slices is None or examples is None:
        return None
    figures = work.manifests["evaluation"].report.metrics
    return Evaluation(metrics, verdict, slices, examples, _changes(work, verdict.decided_on), figures)


def _changes(work: Work, name: str) -> Changes:
    columns = ("set", "query_id", "query", "system", DECIDING_METRIC, "first_relevant_rank")
    texts: dict[str, str] = {}
    score: dict[str, dict[str, float]] = {"base": {}, "tuned": {}}
    ranks: dict[str, list[int | None]] = {"base": [], "tuned": []}
    for row in work.rows("evaluation", "per_query.parquet", columns):
        if row["set"] == name and row["system"] in score:
            score[row["system"]][row["query_id"]] = row[DECIDING_METRIC]
            ranks[row["system"]].append(row["first_relevant_rank"])
            texts[row["query_id"]] = row["query"]
    values = np.array([score["tuned"][query] - value for query, value in score["base"].items()], dtype=np.float64)
    return Changes(values, _found(ranks["base"]), _found(ranks["tuned"]), _shown(texts))


def _shown(texts: Mapping[str, str]) -> tuple[str, ...]:
    """Return two questions from the middle of the list, shortened; it is sorted by id, which means nothing."""
    ordered = [" ".join(texts[query].split()) for query in sorted(texts)]
    chosen = [ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]] if len(ordered) > 1 else []
    return tuple(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in chosen)


def _found(ranks: Iterable[int | None]) -> Found:
    known = [rank for rank in ranks if rank is not None]
    return Found(sum(rank == 1 for rank in known), sum(rank <= TOP for rank in known))
