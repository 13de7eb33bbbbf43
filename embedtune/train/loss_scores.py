"""The formula that both losses share: cross-entropy of the positive among the passages that are not masked."""

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
            left, right = F.normalize(queries[:, :size], dim=1), F.normalize(passages[:, :size], dim=1)
            scores = (left @ right.T / temperature).masked_fill(roles == MASKED, float("-inf"))
            losses.append(F.cross_entropy(scores, targets, reduction="none"))
        return torch.stack(losses).mean(dim=0)
