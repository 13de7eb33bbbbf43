"""The formulas of the losses: cross-entropy of the positive among passages, and divergence from soft labels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from embedtune.train.collate import MASKED


def row_losses(
    queries: Tensor, passages: Tensor, roles: Tensor, temperature: float, dimensions: Sequence[int]
) -> Tensor:
    """Return the loss of each query: -log of its positive's share in the softmax of cosine / temperature.

    With several dimensions it is the mean over them; for each, the vectors are cut to that size and normalised
    again (Matryoshka, arXiv 2205.13147).

    Args:
        queries: Vectors (q, d).
        passages: Vectors (p, d).
        roles: Role of each passage for each query, int8 (q, p), from the collator.
        temperature: The cosines are divided by it.
        dimensions: Vector sizes to train.

    Returns:
        Shape (q,), float32.
    """
    # Not under autocast: bf16 has three digits, so scores near 50 would be off by up to a quarter.
    with torch.autocast(queries.device.type, enabled=False):
        queries, passages = queries.float(), passages.float()
        targets = roles.argmax(dim=1)
        losses = []
        for size in dimensions:
            scores = _cosines(queries, passages, size) / temperature
            masked = scores.masked_fill(roles == MASKED, float("-inf"))
            losses.append(F.cross_entropy(masked, targets, reduction="none"))
        return torch.stack(losses).mean(dim=0)


def soft_losses(
    queries: Tensor, passages: Tensor, soft: Tensor, temperature: float, dimensions: Sequence[int]
) -> Tensor:
    """Return KL(softmax(soft / temperature) ‖ softmax(cosine / temperature)) of each query.

    With several dimensions it is the mean over them. No passage is masked: the labels say how good each is.

    Args:
        queries: Vectors (q, d).
        passages: Vectors (p, d).
        soft: Wanted cosines (q, p).
        temperature: Both are divided by it.
        dimensions: Vector sizes to train.

    Returns:
        Shape (q,), float32.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, passages = queries.float(), passages.float()
        wanted = F.softmax(soft.float() / temperature, dim=1)
        losses = []
        for size in dimensions:
            found = F.log_softmax(_cosines(queries, passages, size) / temperature, dim=1)
            losses.append(F.kl_div(found, wanted, reduction="none").sum(dim=1))
        return torch.stack(losses).mean(dim=0)


def _cosines(queries: Tensor, passages: Tensor, size: int) -> Tensor:
    return F.normalize(queries[:, :size], dim=1) @ F.normalize(passages[:, :size], dim=1).T
