"""fp16 inside the graph: matrix products in half precision, sums over many numbers in single precision.

TensorRT builds strongly typed networks, so precision is a property of the graph, and ONNX Runtime can check it.
"""

from torch import Tensor, nn


class FullNorm(nn.Module):
    """A layer norm or RMS norm in fp32 within an fp16 network.

    Args:
        norm: The original norm.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm.float()

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the normalised hidden states in their own precision."""
        normalised: Tensor = self.norm(hidden.float())
        return normalised.to(hidden.dtype)


def halve(body: nn.Module) -> int:
    """Convert the weights of a transformer to fp16 in place, except its norms; pooling is not part of it.

    Args:
        body: The transformer.

    Returns:
        The number of norms that stay in fp32.
    """
    # Parameters only: buffers hold rotary frequencies, which half precision would distort.
    for parameter in body.parameters():
        parameter.data = parameter.data.half()
    norms = [
        (parent, name, child)
        for parent in body.modules()
        for name, child in parent.named_children()
        if type(child).__name__.endswith("Norm")
    ]
    for parent, name, child in norms:
        setattr(parent, name, FullNorm(child))
    return len(norms)
