"""In-batch negatives: each query is compared with all passages of the batch, except others that answer it too."""

from collections.abc import Sequence

from torch import Tensor, nn

from embedtune.train.embed import Features, embed_cached
from embedtune.train.loss_scores import row_losses


class InBatchLoss(nn.Module):
    """Cross-entropy over all positives and own negatives of a batch, with false negatives masked.

    The collator masks the other passages of a multi-hop question, and near-duplicates of passages that answer the
    query. Gradients are cached: memory depends on `piece`, not on the size of the batch.

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

    def forward(self, features: Sequence[Features], roles: Tensor) -> Tensor:
        """Return the mean loss of a batch; the features are those of the queries and of the passages."""
        queries, passages = (embed_cached(self.model, one, self.piece) for one in features)
        return row_losses(queries, passages, roles, self.temperature, self.dimensions).mean()
