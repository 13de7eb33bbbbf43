"""Lexical leak: whether matching words is enough for a set, because its questions copy their passages."""

from dataclasses import dataclass

from embedtune.core.retrieval.metrics import DECIDING_METRIC, metric_title
from embedtune.evaluate.result import SetResult

# Our own choice: the greatest mean overlap among three sets of people's questions was 0.50 (docs/experiments.md).
OVERLAP_LIMIT = 0.5


@dataclass(frozen=True)
class LexicalLeak:
    """What matching words achieves on a set.

    Attributes:
        name: Name of the set.
        overlap: Mean word overlap of its questions.
        bm25: BM25's mean of the deciding metric.
        base: The base model's.
    """

    name: str
    overlap: float
    bm25: float
    base: float

    @property
    def found(self) -> bool:
        """Whether gains on meaning can hardly show: BM25 is as good as the base, and the questions copy.

        Either alone is no leak: BM25 is often the best on questions of people, who also type names and codes.
        """
        return self.overlap > OVERLAP_LIMIT and self.bm25 >= self.base

    @property
    def sentence(self) -> str:
        """The finding in words."""
        metric = metric_title(DECIDING_METRIC)
        return (
            f"The {self.name} questions copy their passages: matching words (BM25) reaches {metric} "
            f"{self.bm25:.2f}, the base {self.base:.2f}, and by weight {self.overlap:.0%} of a question's words "
            f"are in its passage (people's: at most {OVERLAP_LIMIT:.0%}), so gains on meaning hardly show here"
        )


def lexical_leak(result: SetResult) -> LexicalLeak:
    """Measure the lexical leak of a set."""
    bm25, base = (result.means(system)[DECIDING_METRIC] for system in ("bm25", "base"))
    return LexicalLeak(result.name, result.word_overlap, bm25, base)
