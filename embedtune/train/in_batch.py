"""In-batch negatives: each query against the passages of the whole batch, less those that answer it too."""

from collections.abc import Sequence

from torch import Tensor, nn

from embedtune.train.embed import Features, embed_cached
from embedtune.train.scores import row_losses


class InBatchLoss(nn.Module):
    """Cross-entropy over all positives and own negatives of a batch, false negatives masked.

    Masked is each passage of a group that holds one of the query's positives: the siblings of a multi-hop
    question, and exact and near-duplicates. Gradients are cached: memory depends on `piece`, not on the batch.

    Args:
        model: A sentence-transformers model.
        temperature: Divides the cosines.
        dimensions: Vector sizes to train.
        piece: Texts encoded at a time.
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
