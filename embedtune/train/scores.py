"""The formula that both losses share: cross-entropy of the right passage among those that are not masked."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from embedtune.train.collate import MASKED


def row_losses(
    queries: Tensor, passages: Tensor, roles: Tensor, temperature: float, dimensions: Sequence[int]
) -> Tensor:
    """Return the loss of each query: -log softmax of its positive over cosine / temperature.

    Several dimensions give the mean over the vectors cut to each and normalised again (Matryoshka,
    arXiv 2205.13147).

    Args:
        queries: Vectors (q, d).
        passages: Vectors (p, d).
        roles: What each passage is to each query, int8 (q, p), as the collator makes it.
        temperature: Divides the scores.
        dimensions: Sizes to train.

    Returns:
        Shape (q,), float32.
    """
    # Outside autocast: with bf16's three digits, scores of +-50 would be off by a quarter.
    with torch.autocast(queries.device.type, enabled=False):
        queries, passages = queries.float(), passages.float()
        targets = roles.argmax(dim=1)
        losses = []
        for size in dimensions:
            left, right = F.normalize(queries[:, :size], dim=1), F.normalize(passages[:, :size], dim=1)
            scores = (left @ right.T / temperature).masked_fill(roles == MASKED, float("-inf"))
            losses.append(F.cross_entropy(scores, targets, reduction="none"))
        return torch.stack(losses).mean(dim=0)
