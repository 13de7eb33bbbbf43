"""Turns rows into tensors: tokenized queries and distinct passages, with each passage's role for each query."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import torch
from torch import Tensor

from embedtune.core.contract import EncoderContract
from embedtune.train.rows import SoftScores, TrainingRow

MASKED, NEGATIVE, POSITIVE = -1, 0, 1


class Labels(TypedDict):
    """What a loss is told about a batch, in addition to its texts: tensors, which the trainer moves to the device.

    Attributes:
        roles: Role of each passage for each query, int8 (queries, passages).
        weights: How much each query counts, float32 (queries,): over all rows of the training 1 on average.
        soft: Wanted cosines, float32 (queries, passages); only with soft labels.
    """

    roles: Tensor
    weights: Tensor
    soft: NotRequired[Tensor]


@dataclass(frozen=True)
class Collator:
    """Makes the input of the losses from a batch of rows.

    The result holds `query_*` and `passage_*` features, named as sentence-transformers' trainer expects them, and
    `label`, the `Labels`. A passage that several rows share is encoded once and has one column. With g(j) the
    near-duplicate group of passage j, p(i) the positive of row i, N(i) its own negatives and A(i) the groups of
    everything that answers its question, the role of passage j for row i is

        POSITIVE  if j = p(i)
        MASKED    else if g(j) ∈ A(i)
        NEGATIVE  else if j ∈ N(i), or `in_batch`
        MASKED    else.

    Args:
        tokenize: Turns texts into features, padded to the longest of them.
        contract: Its prefixes are added here.
        negatives: Number of own negatives used per row, the first ones.
        in_batch: Whether the passages of other rows are negatives too.
        soft: Scores of passages for queries, by their texts; None: there are none.
    """

    tokenize: Callable[[list[str]], dict[str, Any]]
    contract: EncoderContract
    negatives: int
    in_batch: bool
    soft: SoftScores | None = None
    valid_label_columns: list[str] = field(default_factory=lambda: ["label"])  # the trainer reads it

    def __call__(self, rows: Sequence[TrainingRow]) -> dict[str, Any]:
        """Collate rows into a batch, a dictionary whose keys are those of sentence-transformers' trainer."""
        own = [[row["positive"], *row["negatives"][: self.negatives]] for row in rows]
        groups: dict[str, str] = {}  # of each distinct passage, in the order of the columns
        for row, texts in zip(rows, own, strict=True):
            groups |= zip(texts, [row["group_id"], *row["negative_groups"][: self.negatives]], strict=True)
        queries = self.tokenize([self.contract.query_prefix + row["query"] for row in rows])
        passages = self.tokenize([self.contract.passage_prefix + text for text in groups])
        return {
            **{f"query_{name}": value for name, value in queries.items()},
            **{f"passage_{name}": value for name, value in passages.items()},
            "label": self._labels(rows, own, groups),
        }

    def _labels(self, rows: Sequence[TrainingRow], own: list[list[str]], groups: dict[str, str]) -> Labels:
        labels: Labels = {
            "roles": self._roles(rows, own, groups),
            "weights": torch.tensor([row["weight"] for row in rows], dtype=torch.float32),
        }
        if self.soft is not None:
            labels["soft"] = torch.from_numpy(self.soft([row["query"] for row in rows], list(groups)))
        return labels

    def _roles(self, rows: Sequence[TrainingRow], own: list[list[str]], groups: dict[str, str]) -> Tensor:
        """Apply the rule from its last line to its first: a later assignment overrides an earlier one."""
        columns = {text: column for column, text in enumerate(groups)}
        roles = torch.full((len(rows), len(columns)), NEGATIVE if self.in_batch else MASKED, dtype=torch.int8)
        for number, (row, texts) in enumerate(zip(rows, own, strict=True)):
            roles[number, [columns[text] for text in texts]] = NEGATIVE
            answers = {*row["positive_groups"], row["group_id"]}
            roles[number, [columns[text] for text, group in groups.items() if group in answers]] = MASKED
            roles[number, columns[row["positive"]]] = POSITIVE
        return roles
