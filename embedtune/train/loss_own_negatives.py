"""The recipe's loss: each query is compared with its positive and its own mined negatives only."""

from collections.abc import Sequence

from torch import Tensor, nn

from embedtune.train.collate import Labels
from embedtune.train.embed import Features, embed
from embedtune.train.loss_scores import row_losses


class OwnNegativesLoss(nn.Module):
    """Cross-entropy over one positive and the row's own negatives (NVIDIA-NeMo/Automodel, biencoder recipe).

    Rows are independent of each other, so the rows of a step may be processed in micro-batches of any size. The
    trainer averages the losses of the micro-batches; each is scaled so that the result is the mean of
    weight · loss over the rows of the step even if the micro-batches differ in size.

    Args:
        model: A sentence-transformers model.
        temperature: The cosines are divided by it.
        dimensions: Vector sizes to train.
        scale: Micro-batches per step, divided by rows per step.
    """

    def __init__(self, model: nn.Module, temperature: float, dimensions: Sequence[int], scale: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.dimensions = tuple(dimensions)
        self.scale = scale

    def forward(self, features: Sequence[Features], labels: Labels) -> Tensor:
        """Return the loss of a micro-batch; the features are those of the queries and of the passages."""
        queries, passages = (embed(self.model, one) for one in features)
        losses = row_losses(queries, passages, labels["roles"], self.temperature, self.dimensions)
        return (labels["weights"] * losses).sum() * self.scale
