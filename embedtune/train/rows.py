"""The training rows: the mined triplets, unrolled, with exactly the negatives that the configuration asks for."""

from pathlib import Path
from typing import TYPE_CHECKING

from embedtune.core.errors import GateError

if TYPE_CHECKING:
    from datasets import Dataset

COLUMNS = ("query", "positive", "group_id", "positive_groups", "negatives", "negative_groups")


def read_rows(triplets: Path, negatives: int) -> "Dataset":
    """Read the rows of a triplets artifact.

    Args:
        triplets: Directory of the artifact.
        negatives: Own negatives that each row must have; the first ones are used later.

    Raises:
        GateError: There is no row, or a row has too few negatives.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from datasets import Dataset

    table = pq.read_table(triplets / "triplets.parquet", columns=list(COLUMNS))
    if table.num_rows == 0:
        raise GateError(
            "there is nothing to train on",
            got="0 rows of triplets",
            expected="at least one question with its passage and negatives",
            fix="see why mining dropped the questions: triplets/audit.json",
        )
    counts = pc.list_value_length(table["negatives"]).to_pylist()
    short = [number for number, count in enumerate(counts) if count < negatives]
    if short:
        raise GateError(
            f"{len(short)} of {len(counts)} rows have fewer negatives than training uses",
            got=f"row {short[0]} has {counts[short[0]]}",
            expected=f"train.negatives = {negatives}",
            fix="mine again with mine.min_negatives at least as large, or lower train.negatives",
        )
    return Dataset(table)
