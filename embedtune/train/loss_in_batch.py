"""In-batch negatives: each query is compared with all passages of the batch, except others that answer it too."""

from collections.abc import Sequence

from torch import Tensor, nn

from embedtune.train.collate import Labels
from embedtune.train.embed import Features, embed_cached
from embedtune.train.loss_scores import row_losses, soft_losses

HARD = 0.1  # share of the cross-entropy where there are soft labels, as in CADET (arXiv 2505.19274)


class InBatchLoss(nn.Module):
    """Cross-entropy over all positives and own negatives of a batch, with false negatives masked.

    The collator masks the other passages of a multi-hop question, and near-duplicates of passages that answer the
    query. With soft labels the loss is the divergence from them plus 0.1 of that cross-entropy. Gradients are
    cached: memory depends on `piece`, not on the size of the batch.

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

    def forward(self, features: Sequence[Features], labels: Labels) -> Tensor:
        """Return the mean of weight · loss over the rows of a batch.

        Args:
            features: Those of the queries and of the passages.
            labels: From the collator.
        """
        queries, passages = (embed_cached(self.model, one, self.piece) for one in features)
        losses = row_losses(queries, passages, labels["roles"], self.temperature, self.dimensions)
        if "soft" in labels:
            soft = soft_losses(queries, passages, labels["soft"], self.temperature, self.dimensions)
            losses = soft + HARD * losses
        return (labels["weights"] * losses).mean()
