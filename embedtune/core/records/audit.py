"""audit.json of the triplets artifact: how the hard negatives were found, for the report and for people."""

from typing import ClassVar

from embedtune.core.records.base import JsonRecord, Part

AUDIT_FILE = "audit.json"
# How the report words each reason in `Rejected`.
REASON_TEXTS = {
    "positive": "answers the question",
    "group": "near-duplicate of an answer",
    "sibling": "answers the same question elsewhere",
    "margin": "scores too close to the answer",
}


class Quantiles(Part):
    """Quantiles of scores or ranks, linearly interpolated."""

    minimum: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    maximum: float


class Histogram(Part):
    """Counts in bins of equal width; there is one more edge than there are bins."""

    counts: tuple[int, ...]
    edges: tuple[float, ...]


class Distribution(Part):
    """Summary of scores or ranks; all fields but the count are None if there are no values."""

    count: int
    mean: float | None = None
    quantiles: Quantiles | None = None
    histogram: Histogram | None = None


class Rejected(Part):
    """Number of rejected candidates that scored above the last negative of their query, by reason.

    Attributes:
        positive: They answer the query.
        group: They are near-duplicates of a passage that answers the query.
        sibling: They answer another query with the same text, or are near-duplicates of such an answer.
        margin: They score above the threshold.
    """

    positive: int
    group: int
    sibling: int
    margin: int


class DroppedQuery(Part):
    """A query that was left out because too few negatives were found for it."""

    query_id: str
    query: str
    found: int


class LexicalDuplicate(Part):
    """A negative that repeats a positive of its query nearly word for word."""

    query_id: str
    positive_id: str
    negative_id: str


class LexicalDuplicates(Part):
    """The comparison of negatives with their positives: counts, and examples that nearly repeat a positive."""

    checked: int
    found: int
    examples: tuple[LexicalDuplicate, ...]


class NegativeExample(Part):
    """A negative, as shown in the audit."""

    id: str
    text: str
    score: float


class TripletExample(Part):
    """A row of the triplets table, as shown in the audit."""

    query_id: str
    query: str
    positive_id: str
    positive: str
    positive_score: float
    negatives: tuple[NegativeExample, ...]


class Audit(JsonRecord):
    """The audit of mining: the accepted and rejected candidates.

    Attributes:
        mining_corpus: Number of passages that were searched.
        queries: Number of train queries.
        rows: Number of rows of the triplets table.
        complete: Queries with all the negatives asked for.
        short: Queries with fewer, but enough to be kept.
        dropped: Queries with too few.
        dropped_queries: Which those are.
        rejected: Rejected candidates by reason.
        positive_scores: Of each (query, positive) pair.
        negative_scores: Of the negatives of the kept queries.
        positive_ranks: Ranks of the positives that the search reached, from 1.
        negative_ranks: Ranks of the negatives of the kept queries.
        lexical_duplicates: Negatives that the near-duplicate groups should have excluded.
        examples: Rows spread evenly over the table.
    """

    NAME: ClassVar[str] = "audit"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune mine"

    mining_corpus: int
    queries: int
    rows: int
    complete: int
    short: int
    dropped: int
    dropped_queries: tuple[DroppedQuery, ...]
    rejected: Rejected
    positive_scores: Distribution
    negative_scores: Distribution
    positive_ranks: Distribution
    negative_ranks: Distribution
    lexical_duplicates: LexicalDuplicates
    examples: tuple[TripletExample, ...]
