"""The training rows: one per (query, positive) pair that was mined; they name passages by id."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt

from embedtune.core.errors import GateError

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset


SoftScores = Callable[[Sequence[str], Sequence[str]], "npt.NDArray[np.float32]"]


class StoredRow(TypedDict):
    """The columns of triplets.parquet that training reads.

    Attributes:
        query: Text of the question.
        positive_id: A passage that answers it.
        positive_ids: All passages that answer it.
        negative_ids: The mined negatives, hardest first.
        weight: How much the row counts; `read_rows` divides it by the mean over all rows.
    """

    query: str
    positive_id: str
    positive_ids: list[str]
    negative_ids: list[str]
    weight: float


class TrainingRow(TypedDict):
    """A row with the texts of its passages.

    Attributes:
        query: Text of the question.
        positive: Text of a passage that answers it.
        group_id: Near-duplicate group of the positive.
        positive_groups: Groups of all passages that answer the question.
        negatives: Texts of the mined negatives, hardest first.
        negative_groups: Their groups.
        weight: How much the row counts: on average over all rows 1.
    """

    query: str
    positive: str
    group_id: str
    positive_groups: list[str]
    negatives: list[str]
    negative_groups: list[str]
    weight: float


class PassageTable:
    """The passages that the rows name: each is in memory once, as Arrow holds it.

    Args:
        file: passages.parquet of a triplets artifact.
    """

    def __init__(self, file: Path) -> None:
        import pyarrow.parquet as pq

        table = pq.read_table(file)
        self._place = {name: place for place, name in enumerate(table["passage_id"].to_pylist())}
        self._groups: list[str] = table["group_id"].to_pylist()
        self._texts: pa.ChunkedArray = table["text"]

    def resolve(self, row: StoredRow) -> TrainingRow:
        """Return a row with texts and groups in place of ids."""
        return {
            "query": row["query"],
            "positive": self._text(row["positive_id"]),
            "group_id": self._group(row["positive_id"]),
            "positive_groups": [self._group(name) for name in row["positive_ids"]],
            "negatives": [self._text(name) for name in row["negative_ids"]],
            "negative_groups": [self._group(name) for name in row["negative_ids"]],
            "weight": row["weight"],
        }

    def texts(self) -> Iterator[str]:
        """Yield the text of each passage."""
        return (str(text) for text in self._texts)

    def _text(self, name: str) -> str:
        return str(self._texts[self._place[name]])

    def _group(self, name: str) -> str:
        return self._groups[self._place[name]]


@dataclass(frozen=True)
class RowCollator:
    """Looks up the texts of a batch's passages, then collates it; sentence-transformers' trainer calls it.

    Args:
        passages: The passages that the rows name.
        collate: Makes a batch of rows with texts.
    """

    passages: PassageTable
    collate: Callable[[Sequence[TrainingRow]], dict[str, Any]]
    valid_label_columns: list[str] = field(default_factory=lambda: ["label"])  # the trainer reads it

    def __call__(self, rows: Sequence[StoredRow]) -> dict[str, Any]:
        """Collate rows into a batch."""
        return self.collate([self.passages.resolve(row) for row in rows])


@dataclass(frozen=True)
class TrainingRows:
    """All rows of a run.

    Attributes:
        stored: One `StoredRow` per (query, positive) pair.
        passages: The passages that they name.
        soft: Scores of passages for queries, by their texts; None unless the loss needs them.
    """

    stored: "Dataset"
    passages: PassageTable
    soft: SoftScores | None = None

    def __len__(self) -> int:
        return len(self.stored)


def read_rows(triplets: Path, negatives: int) -> TrainingRows:
    """Read the rows of a triplets artifact; their weights become relative to the mean over all rows.

    Args:
        triplets: Directory of the artifact.
        negatives: Negatives that each row must have; training uses the first ones.

    Raises:
        GateError: There are no rows, or one has too few negatives.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from datasets import Dataset

    file = pq.ParquetFile(triplets / "triplets.parquet")
    columns = list(StoredRow.__annotations__)
    # Batch by batch: Arrow cannot read a column of lists at once whose strings exceed 2 GiB.
    table = pa.Table.from_batches(
        file.iter_batches(columns=columns), pa.schema([file.schema_arrow.field(name) for name in columns])
    )
    if table.num_rows == 0:
        raise GateError(
            "there are no rows to train on",
            got="a triplets table without rows",
            expected="at least one question with its passage and negatives",
            fix="triplets/audit.json says why mining dropped the questions",
        )
    counts = pc.list_value_length(table["negative_ids"]).to_pylist()
    short = [number for number, count in enumerate(counts) if count < negatives]
    if short:
        raise GateError(
            f"{len(short)} of {len(counts)} rows have fewer negatives than training uses",
            got=f"row {short[0]} has {counts[short[0]]}",
            expected=f"train.negatives = {negatives}",
            fix="mine again with mine.min_negatives at least this large, or lower train.negatives",
        )
    return TrainingRows(Dataset(_with_relative_weights(table)), PassageTable(triplets / "passages.parquet"))


def _with_relative_weights(table: "pa.Table") -> "pa.Table":
    """Divide the weights by their mean, so that the learning rate means the same whatever they are."""
    import pyarrow as pa

    # In double precision, so that equal weights become exactly 1.
    weights = table["weight"].to_numpy().astype(np.float64)
    relative = pa.array((weights / weights.mean()).astype(np.float32))
    return table.set_column(table.schema.get_field_index("weight"), "weight", relative)
