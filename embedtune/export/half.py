"""fp16 or bf16 inside the graph: matrix products in half precision, sums over many numbers in single precision.

TensorRT builds strongly typed networks, so precision is a property of the graph. ONNX Runtime runs the fp16 graph
as it is; it has no matrix product in bf16 on CPUs.
"""

import torch
from torch import Tensor, nn

from embedtune.core.config.export import Precision

HALF: dict[Precision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16}


class FullNorm(nn.Module):
    """A layer norm or RMS norm in fp32 within a network of half precision.

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


def halve(body: nn.Module, precision: Precision) -> int:
    """Convert the weights of a transformer in place, except its norms; pooling is not part of it.

    Args:
        body: The transformer.
        precision: A key of `HALF`.

    Returns:
        The number of norms that stay in fp32.
    """
    # Parameters only: buffers hold rotary frequencies, which half precision would distort.
    for parameter in body.parameters():
        parameter.data = parameter.data.to(HALF[precision])
    norms = [
        (parent, name, child)
        for parent in body.modules()
        for name, child in parent.named_children()
        if type(child).__name__.endswith("Norm")
    ]
    for parent, name, child in norms:
        setattr(parent, name, FullNorm(child))
    return len(norms)
