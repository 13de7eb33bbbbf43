"""Three JSON files of the evaluation artifact: verdict, slices and examples; `metrics.py` has the fourth.

Dictionaries are keyed by the names of sets (as the user named them; the dataset's own test split is "synthetic"),
of systems ("bm25", "base", "tuned", "champion", "endpoint"; "old-index": queries of the tuned model on passages of
the base; "seed-43" and the like for further training seeds) and of metrics ("ndcg@10").
"""

from enum import StrEnum
from typing import ClassVar, Literal

from embedtune.core.records.base import JsonRecord, Part

VERDICT_FILE = "verdict.json"
SLICES_FILE = "slices.json"
EXAMPLES_FILE = "examples.json"
SPEED = "tuned.passages_per_second"  # a figure of the manifest: how fast the tuned model embedded the corpus
_COMMAND = "embedtune evaluate"


def scan_figure(size: int, kind: str) -> str:
    """Return the name of a figure of the manifest: how many vectors of a form a search compares in a second."""
    return f"scan.{size}.{kind}.passages_per_second"


class Interval(Part):
    """A mean and its confidence interval.

    Args:
        mean: The mean over the queries.
        low: Lower end.
        high: Upper end.
        units: Document families that the queries belong to; the interval comes from their differences.
    """

    mean: float
    low: float
    high: float
    units: int

    @property
    def unbounded(self) -> bool:
        """Whether it is all that a metric can be, because there are too few units for an interval."""
        return self.low <= 0.0 and self.high >= 1.0

    @property
    def direction(self) -> Literal["up", "down", "unsure"]:
        """Whether the interval of a difference is above 0 ("up"), below 0 ("down") or contains it ("unsure")."""
        return "up" if self.low > 0 else "down" if self.high < 0 else "unsure"


class Verdict(StrEnum):
    """The outcome of a comparison."""

    WIN = "WIN"
    MARGINAL = "MARGINAL"
    REGRESSION = "REGRESSION"


class Promotion(Part):
    """The decision whether the tuned model may replace the live model.

    Args:
        against: What the tuned model was compared with: the champion if there is one, else the base.
        verdict: The verdict of that comparison.
        better: Whether that verdict is WIN.
        delta: The difference on the deciding set.
    """

    against: Literal["base", "champion"]
    verdict: Verdict
    better: bool
    delta: Interval


class Measured(Part):
    """How the vectors of all compared models were computed.

    Args:
        precision: Arithmetic, the same for base, tuned model and champion.
        attention: The setting `runtime.attention`, the same for all of them too.
        dimension: Size of the vectors that the verdict is about: the full one.
    """

    precision: Literal["fp32", "bf16"]
    attention: str
    dimension: int


class VerdictRecord(JsonRecord):
    """The verdict on the tuned model against its base, with the rule and the intervals that it follows from.

    Args:
        verdict: The verdict.
        rule: The rule in words.
        metric: The metric that decides.
        confidence: Width of the intervals, for example 0.95.
        decided_on: Name of the deciding set.
        delta: The difference on the deciding set.
        reasons: One line per set: the difference, its interval, and on which side of 0 it is.
        promotion: The same rule applied to the live model.
        measured: Precision and size of the vectors.
        caution: Why the deciding set says less than it seems: matching words is enough for it; or "".
    """

    NAME: ClassVar[str] = "verdict"
    VERSION: ClassVar[int] = 4
    REMAKE: ClassVar[str] = _COMMAND

    verdict: Verdict
    rule: str
    metric: str
    confidence: float
    decided_on: str
    delta: Interval
    reasons: tuple[str, ...]
    promotion: Promotion
    measured: Measured
    caution: str


class Slice(Part):
    """The queries of one set that have one value of one dimension.

    Args:
        dimension: Property by which the queries are grouped, for example "hops".
        value: Their common value, for example "2".
        queries: Number of queries.
        units: Number of document families that they belong to.
        small: Whether these are too few for a reliable interval.
        systems: Mean of the deciding metric by system.
        delta: Paired difference tuned - base.
    """

    dimension: str
    value: str
    queries: int
    units: int
    small: bool
    systems: dict[str, Interval]
    delta: Interval


class SetSlices(Part):
    """The slices of one set.

    Args:
        bm25_rank1_share: Share of the queries for which BM25 ranks a relevant passage first.
        word_overlap: Mean weight of a query's words that its passage contains, from 0 to 1 (see evaluate).
        slices: Ordered by dimension and value.
    """

    bm25_rank1_share: float
    word_overlap: float
    slices: tuple[Slice, ...]


class Slices(JsonRecord):
    """The deciding metric by kind of question.

    Args:
        metric: The metric.
        small_below: Number of document families below which a slice is small.
        sets: The slices of each set.
    """

    NAME: ClassVar[str] = "slices"
    VERSION: ClassVar[int] = 2
    REMAKE: ClassVar[str] = _COMMAND

    metric: str
    small_below: int
    sets: dict[str, SetSlices]


class RelevantPassage(Part):
    """A passage that answers a query; `source` is the path of its document, or "" if the set does not say."""

    id: str
    text: str
    source: str


class RankedPassage(Part):
    """A passage that a system found; `source` is the path of its document, or "" if the set does not say."""

    id: str
    score: float
    relevant: bool
    text: str
    source: str


class Ranking(Part):
    """The results of one system for one query.

    Args:
        ndcg_at_10: nDCG@10 of the query.
        first_relevant_rank: Rank of the first relevant passage; None if none was found.
        top: The first passages.
    """

    ndcg_at_10: float
    first_relevant_rank: int | None
    top: tuple[RankedPassage, ...]


class Example(Part):
    """A query that gained or lost, with what each system found for it.

    Args:
        query_id: Id of the query.
        query: Its text.
        relevant: The passages that answer it.
        systems: What "base" and "tuned" found.
    """

    query_id: str
    query: str
    relevant: tuple[RelevantPassage, ...]
    systems: dict[str, Ranking]


class SetExamples(Part):
    """Some of the queries of one set that gained and some that lost, chosen at random.

    Args:
        wins: Queries that gained, in random order.
        losses: Queries that lost, in random order.
        gained: Number of all queries that gained.
        lost: Number of all queries that lost.
    """

    wins: tuple[Example, ...]
    losses: tuple[Example, ...]
    gained: int
    lost: int


class Examples(JsonRecord):
    """Wins and losses of each set, chosen at random.

    Args:
        seed: Seed of the choice.
        sets: The examples of each set.
    """

    NAME: ClassVar[str] = "examples"
    VERSION: ClassVar[int] = 2
    REMAKE: ClassVar[str] = _COMMAND

    seed: int
    sets: dict[str, SetExamples]
