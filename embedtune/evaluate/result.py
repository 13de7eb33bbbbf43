"""The results on one set: the run of each system and its metrics, query by query."""

from dataclasses import dataclass
from functools import cached_property

from embedtune.core.config.evaluate import EvaluateSettings
from embedtune.core.retrieval.beir import RetrievalSet
from embedtune.core.retrieval.metrics import PerQuery, evaluate_run, first_relevant_rank, mean_metrics, ranking_of
from embedtune.core.retrieval.word_overlap import word_overlaps
from embedtune.evaluate.bootstrap import Differences, paired_intervals
from embedtune.evaluate.retrieve import Run


@dataclass(frozen=True)
class SetResult:
    """The outcome of every system on one set.

    Args:
        name: Name of the set.
        data: Queries, corpus and relevance judgements.
        runs: The run of each system.
        k: Cut-offs of the metrics.
    """

    name: str
    data: RetrievalSet
    runs: dict[str, Run]
    k: tuple[int, ...]

    @cached_property
    def per_query(self) -> dict[str, PerQuery]:
        """Metrics by system and query."""
        return {system: evaluate_run(run, self.data.qrels, self.k) for system, run in self.runs.items()}

    def rows(self, system: str) -> list[dict[str, float]]:
        """The metrics of a system, in the order of the queries."""
        return [self.per_query[system][query.id] for query in self.data.queries]

    def means(self, system: str) -> dict[str, float]:
        """The mean of each metric over the queries."""
        return mean_metrics(self.per_query[system])

    def ranking(self, system: str, query_id: str) -> list[str]:
        """Ids of the passages that a system found for a query, best first."""
        return ranking_of(self.runs[system].get(query_id, {}))

    def first_rank(self, system: str, query_id: str) -> int | None:
        """Rank of the first relevant passage, or None if it was not found."""
        return first_relevant_rank(self.ranking(system, query_id), self.data.qrels[query_id])

    @cached_property
    def lexical_share(self) -> float:
        """Share of the queries for which BM25 ranks a relevant passage first: they do not test meaning."""
        first = sum(self.first_rank("bm25", query.id) == 1 for query in self.data.queries)
        return first / len(self.data.queries)

    @cached_property
    def word_overlap(self) -> float:
        """Mean word overlap of the queries with the passages that answer them, from 0 to 1."""
        queries, qrels = self.data.queries, self.data.qrels
        place = {passage.id: number for number, passage in enumerate(self.data.corpus)}
        relevant = [[place[one] for one, score in qrels[query.id].items() if score > 0] for query in queries]
        texts = [passage.text for passage in self.data.corpus]
        overlaps = word_overlaps([query.text for query in queries], relevant, texts)
        return sum(overlaps) / len(overlaps)


def differences(results: list[SetResult], other: str, settings: EvaluateSettings, seed: int) -> Differences:
    """Return the paired difference of the tuned model and another system, by set and metric."""
    return {
        result.name: paired_intervals(
            result.rows("tuned"),
            result.rows(other),
            settings.bootstrap_samples,
            settings.confidence,
            seed,
        )
        for result in results
    }
