"""metrics.json of the evaluation artifact: means and differences of every metric on every set.

Sets, systems and metrics are named as in `evaluation.py`.
"""

from typing import ClassVar

from embedtune.core.records.base import JsonRecord, Part
from embedtune.core.records.evaluation import Interval

METRICS_FILE = "metrics.json"
OLD_INDEX = "old-index"  # a system: queries of the tuned model on passages of the base


class SizeMetrics(Part):
    """The metrics of one set with vectors cut to a smaller size that the model serves.

    Args:
        dimension: The size.
        systems: Mean over the queries, by model and metric; without BM25 and the endpoint, and without a champion
            that does not offer this size.
        delta: Paired difference tuned - base, both with this size, by metric.
        delta_champion: Paired difference tuned - champion, both with this size, by metric.
        change: Paired difference of the deciding metric: the tuned model with this size - with the full size.
    """

    dimension: int
    systems: dict[str, dict[str, float]]
    delta: dict[str, Interval]
    delta_champion: dict[str, Interval] | None = None
    change: Interval


class FormMetrics(Part):
    """What the tuned model reaches with vectors in one form in which the endpoint returns them.

    Args:
        size: Numbers in a vector.
        type: float, int8 or ubinary, as `encoding_format` names it.
        bytes: Bytes of a vector, without what an index adds.
        tuned: Mean over the queries, by metric.
        change: Paired difference of the deciding metric: with this form - with floats of the full size; None for
            these.
    """

    size: int
    type: str
    bytes: int
    tuned: dict[str, float]
    change: Interval | None = None


class HybridMetrics(Part):
    """The metrics of one set for hybrid search: each model joined with BM25.

    Args:
        systems: Mean over the queries, by model ("base" and "tuned") and metric.
        delta: Paired difference tuned - base, both fused, by metric.
        change: Paired difference of the deciding metric: the tuned model fused - alone.
    """

    systems: dict[str, dict[str, float]]
    delta: dict[str, Interval]
    change: Interval


class SetMetrics(Part):
    """The metrics of one set.

    Args:
        queries: Number of queries.
        units: Number of document families that the queries belong to.
        systems: Mean over the queries, by system and metric.
        delta: Paired difference tuned - base, by metric.
        delta_champion: Paired difference tuned - champion, by metric; None without a champion.
        smaller: The same with each smaller vector size, the largest first; empty if there is only one size.
        forms: The tuned model with each form of vectors that is served, floats of the full size first.
        hybrid: The same together with BM25; None where it was not measured.
    """

    queries: int
    units: int
    systems: dict[str, dict[str, float]]
    delta: dict[str, Interval]
    delta_champion: dict[str, Interval] | None = None
    smaller: tuple[SizeMetrics, ...] = ()
    forms: tuple[FormMetrics, ...] = ()
    hybrid: HybridMetrics | None = None


class Metrics(JsonRecord):
    """Means and differences of every metric, by set, with vectors of the full size."""

    NAME: ClassVar[str] = "metrics"
    VERSION: ClassVar[int] = 5
    REMAKE: ClassVar[str] = "embedtune evaluate"

    sets: dict[str, SetMetrics]
