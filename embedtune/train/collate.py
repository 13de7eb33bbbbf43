"""Rows to tensors: tokenized queries and distinct passages, and what each passage is to each query."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from embedtune.core.contract import EncoderContract

MASKED, NEGATIVE, POSITIVE = -1, 0, 1
Row = dict[str, Any]


@dataclass(frozen=True)
class Collator:
    """Makes the input of both losses from a batch of rows.

    The result holds `query_*` and `passage_*` features, named as sentence-transformers' trainer expects them, and
    `label`, the roles: an int8 matrix (queries, passages) of MASKED, NEGATIVE and POSITIVE, one POSITIVE a row.
    A passage that several rows share is encoded once and counts once.

    Args:
        tokenize: Texts to features, padded to the longest of them.
        contract: Its prefixes are added here.
        negatives: Own negatives used of each row.
        in_batch: Whether the other rows' passages are negatives too.
    """

    tokenize: Callable[[list[str]], dict[str, Any]]
    contract: EncoderContract
    negatives: int
    in_batch: bool
    valid_label_columns: list[str] = field(default_factory=lambda: ["label"])  # the trainer reads it

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Collate rows."""
        own = [[row["positive"], *row["negatives"][: self.negatives]] for row in rows]
        groups: dict[str, str] = {}  # of each distinct passage
        for row, texts in zip(rows, own, strict=True):
            groups |= zip(texts, [row["group_id"], *row["negative_groups"][: self.negatives]], strict=True)
        columns = {text: column for column, text in enumerate(groups)}
        label = torch.full((len(rows), len(columns)), NEGATIVE if self.in_batch else MASKED, dtype=torch.int8)
        for number, (row, texts) in enumerate(zip(rows, own, strict=True)):
            label[number, [columns[text] for text in texts]] = NEGATIVE
            also_right = set(row["positive_groups"]) | {row["group_id"]}
            label[number, [columns[text] for text in columns if groups[text] in also_right]] = MASKED
            label[number, columns[row["positive"]]] = POSITIVE
        queries = self.tokenize([self.contract.query_prefix + row["query"] for row in rows])
        passages = self.tokenize([self.contract.passage_prefix + text for text in columns])
        return {
            **{f"query_{name}": value for name, value in queries.items()},
            **{f"passage_{name}": value for name, value in passages.items()},
            "label": label,
        }
