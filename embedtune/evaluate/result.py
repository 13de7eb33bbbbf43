"""The results on one set: the run of each system and its metrics, query by query."""

from dataclasses import dataclass, field
from functools import cached_property

from embedtune.core.retrieval.beir import RetrievalSet
from embedtune.core.retrieval.forms import Form
from embedtune.core.retrieval.metrics import PerQuery, evaluate_run, first_relevant_rank, mean_metrics, ranking_of
from embedtune.core.retrieval.passage_groups import family_of, group_of, grouped_qrels, grouped_run
from embedtune.core.retrieval.word_overlap import word_overlaps
from embedtune.evaluate.intervals import Differences, Sampling, Units, paired_intervals
from embedtune.evaluate.retrieve import Run


@dataclass(frozen=True)
class SetResult:
    """The outcome of every system on one set.

    Near-duplicates of a right passage are right: rankings and judgements are read by near-duplicate group. The
    first passage of a group counts, later ones are dropped from the ranking.

    Args:
        name: Name of the set.
        data: Queries, corpus and relevance judgements.
        runs: The run of each system, by passage.
        k: Cut-offs of the metrics.
        smaller: The outcome of the models with vectors cut to each smaller size that the contract serves.
        coarser: The run of the tuned model with each form of vectors that is not floats, of every size.
    """

    name: str
    data: RetrievalSet
    runs: dict[str, Run]
    k: tuple[int, ...]
    smaller: "dict[int, SetResult]" = field(default_factory=dict)
    coarser: dict[Form, Run] = field(default_factory=dict)

    @cached_property
    def groups(self) -> dict[str, str]:
        """Near-duplicate group of each passage."""
        return group_of(self.data.corpus)

    @cached_property
    def judged_groups(self) -> dict[str, dict[str, int]]:
        """Judgement of each judged group, by query."""
        return grouped_qrels(self.data.qrels, self.groups)

    @cached_property
    def families(self) -> list[list[str]]:
        """The document families of each query: those of the passages that answer it, in the order of their ids."""
        families = family_of(self.data.corpus)
        return [[families[p] for p in sorted(self.data.qrels[query.id])] for query in self.data.queries]

    @cached_property
    def units(self) -> Units:
        """The families as the units of intervals."""
        return Units(self.families)

    @cached_property
    def per_query(self) -> dict[str, PerQuery]:
        """Metrics by system and query."""
        return {system: self.measured(run) for system, run in self.runs.items()}

    def measured(self, run: Run) -> PerQuery:
        """Return the metrics of a run by query."""
        return evaluate_run(grouped_run(run, self.groups), self.judged_groups, self.k)

    def rows(self, system: str) -> list[dict[str, float]]:
        """The metrics of a system, in the order of the queries."""
        return [self.per_query[system][query.id] for query in self.data.queries]

    def means(self, system: str) -> dict[str, float]:
        """The mean of each metric over the queries."""
        return mean_metrics(self.per_query[system])

    def ranking(self, system: str, query_id: str) -> list[str]:
        """Ids of the first passage of each group that a system found for a query, best first."""
        scores = self.runs[system].get(query_id, {})
        first: dict[str, str] = {}
        for passage in ranking_of(scores):
            first.setdefault(self.groups[passage], passage)
        return [first[group] for group in ranking_of({group: scores[first[group]] for group in first})]

    def answers(self, query_id: str, passage_id: str) -> bool:
        """Return whether a passage, or one that it nearly duplicates, answers a query."""
        return self.groups[passage_id] in self.judged_groups[query_id]

    def first_rank(self, system: str, query_id: str) -> int | None:
        """Rank of the first relevant passage, or None if it was not found."""
        ranking = [self.groups[passage] for passage in self.ranking(system, query_id)]
        return first_relevant_rank(ranking, self.judged_groups[query_id])

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


def differences(results: list[SetResult], other: str, sampling: Sampling) -> Differences:
    """Return the paired difference of the tuned model and another system, by set and metric."""
    return {
        result.name: paired_intervals(result.rows("tuned"), result.rows(other), result.units, sampling)
        for result in results
    }
