"""Reads what mining needs from a dataset: the train queries and the passages that train may see."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedtune.core.encoders.encoder import Encoder
from embedtune.core.errors import GateError
from embedtune.core.progress import Progress
from embedtune.core.retrieval.beir import Qrels, Record, read_retrieval_set
from embedtune.core.retrieval.exact_search import Indices
from embedtune.mine.mining_arrays import MiningProblem


@dataclass(frozen=True)
class MiningSet:
    """The train queries, the mining corpus, and which passages answer which query.

    Attributes:
        queries: The train queries, in the order of the dataset.
        passages: The mining corpus: the passages that train may see, in the order of the dataset.
        qrels: Judgements of the train queries.
    """

    queries: list[Record]
    passages: list[Record]
    qrels: Qrels

    def pairs(self) -> tuple[Indices, Indices]:
        """Return the (query, positive) pairs as sorted index arrays."""
        place = {record.id: index for index, record in enumerate(self.passages)}
        pairs = sorted(
            (row, place[passage]) for row, query in enumerate(self.queries) for passage in self.qrels[query.id]
        )
        array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return np.ascontiguousarray(array[:, 0]), np.ascontiguousarray(array[:, 1])

    def unsure(self, query: Record) -> list[str]:
        """Return the passages about which a similar question was written: they may answer this one."""
        given = query.metadata.get("unsure")
        return [str(passage) for passage in given] if isinstance(given, list) else []

    def weight(self, query: Record) -> float:
        """Return how much training counts the query: questions of people may have another weight than 1."""
        given = query.metadata.get("weight")
        return float(given) if isinstance(given, int | float) else 1.0

    def _unsure_pairs(self) -> tuple[Indices, Indices]:
        place = {record.id: index for index, record in enumerate(self.passages)}
        pairs = [
            (row, place[passage])
            for row, query in enumerate(self.queries)
            for passage in self.unsure(query)
            if passage in place
        ]
        array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return array[:, 0], array[:, 1]

    def problem(self, encoder: Encoder, progress: Progress) -> MiningProblem:
        """Encode the queries and passages, and number groups and texts."""
        pair_query, pair_passage = self.pairs()
        unsure_query, unsure_passage = self._unsure_pairs()
        return MiningProblem(
            queries=encoder.encode_queries([query.text for query in self.queries], progress),
            passages=encoder.encode_passages([passage.text for passage in self.passages], progress),
            groups=_numbered([str(passage.metadata["group_id"]) for passage in self.passages]),
            same_text=_numbered([normalised(query.text) for query in self.queries]),
            pair_query=pair_query,
            pair_passage=pair_passage,
            unsure_query=unsure_query,
            unsure_passage=unsure_passage,
        )


def read_mining_set(dataset: Path) -> MiningSet:
    """Read the train part of a dataset artifact.

    Raises:
        GateError: There are no train queries, or one is answered by a passage that train must not see.
    """
    train = read_retrieval_set(dataset, "train")
    passages = [record for record in train.corpus if record.metadata["split"] == "train"]
    seen = {record.id for record in passages}
    outside = sorted({p for judged in train.qrels.values() for p in judged} - seen)
    if outside:
        raise GateError(
            "some train queries are answered by passages of dev or test",
            got=outside[:3],
            expected="passages whose metadata.split is train",
            fix="run split again",
        )
    if not train.queries:
        raise GateError(f"{dataset} has no train queries", fix="generate more questions, or add documents")
    return MiningSet(train.queries, passages, train.qrels)


def normalised(text: str) -> str:
    """Return a question with case and whitespace normalised: equal results mean the same question."""
    return " ".join(text.casefold().split())


def _numbered(names: list[str]) -> Indices:
    return np.unique(np.array(names, dtype=object), return_inverse=True)[1].astype(np.int64)
