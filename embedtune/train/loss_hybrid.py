"""In-batch negatives with soft labels: the ranking of the base model joined with BM25, and the right passage."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from embedtune.train.embed import Features, embed_cached
from embedtune.train.loss_scores import row_losses, soft_losses

HARD = 0.1  # share of the right passage's cross-entropy, as in CADET (arXiv 2505.19274)


class HybridLoss(nn.Module):
    """KL divergence from the soft labels over all passages of a batch, plus 0.1 of the cross-entropy.

    Gradients are cached: memory depends on `piece`, not on the size of the batch.

    Args:
        model: A sentence-transformers model.
        temperature: The cosines are divided by it.
        dimensions: Vector sizes to train.
        piece: Number of texts encoded at a time.
    """

    def __init__(self, model: nn.Module, temperature: float, dimensions: Sequence[int], piece: int) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.dimensions = tuple(dimensions)
        self.piece = piece

    def forward(self, features: Sequence[Features], labels: Tensor) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            features: Those of the queries and of the passages.
            labels: Roles and soft labels from the collator, float32 (2, queries, passages).
        """
        queries, passages = (embed_cached(self.model, one, self.piece) for one in features)
        roles, soft = labels[0].to(torch.int8), labels[1]
        hard = row_losses(queries, passages, roles, self.temperature, self.dimensions)
        return (soft_losses(queries, passages, soft, self.temperature, self.dimensions) + HARD * hard).mean()
