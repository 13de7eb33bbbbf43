"""The training rows: one per (query, positive) pair that was mined."""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from embedtune.core.errors import GateError

if TYPE_CHECKING:
    from datasets import Dataset


class TrainingRow(TypedDict):
    """The columns of triplets.parquet that training reads.

    Attributes:
        query: Text of the question.
        positive: Text of a passage that answers it.
        group_id: Near-duplicate group of the positive.
        positive_groups: Groups of all passages that answer the question.
        negatives: Texts of the mined negatives, hardest first.
        negative_groups: Their groups.
    """

    query: str
    positive: str
    group_id: str
    positive_groups: list[str]
    negatives: list[str]
    negative_groups: list[str]


def read_rows(triplets: Path, negatives: int) -> "Dataset":
    """Read the rows of a triplets artifact.

    Args:
        triplets: Directory of the artifact.
        negatives: Negatives that each row must have; training uses the first ones.

    Raises:
        GateError: There are no rows, or one has too few negatives.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from datasets import Dataset

    table = pq.read_table(triplets / "triplets.parquet", columns=list(TrainingRow.__annotations__))
    if table.num_rows == 0:
        raise GateError(
            "there are no rows to train on",
            got="a triplets table without rows",
            expected="at least one question with its passage and negatives",
            fix="triplets/audit.json says why mining dropped the questions",
        )
    counts = pc.list_value_length(table["negatives"]).to_pylist()
    short = [number for number, count in enumerate(counts) if count < negatives]
    if short:
        raise GateError(
            f"{len(short)} of {len(counts)} rows have fewer negatives than training uses",
            got=f"row {short[0]} has {counts[short[0]]}",
            expected=f"train.negatives = {negatives}",
            fix="mine again with mine.min_negatives at least this large, or lower train.negatives",
        )
    return Dataset(table)
