"""The whole encoder as one torch module: transformer, pooling, Dense, Matryoshka truncation, L2 normalisation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from embedtune.core.contract import Pooling
from embedtune.core.encoders.modules import VECTOR

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class EncoderGraph(nn.Module):
    """Token ids in, unit vectors out; this module is what is exported.

    Args:
        body: A transformer whose first output contains one vector per token.
        pooling: How these vectors become one.
        token_types: Whether the body takes token types; they are always 0 here.
        dense: The Dense modules after the pooling, which take and return a dictionary of features.
    """

    def __init__(
        self, body: nn.Module, pooling: Pooling, token_types: bool, dense: Sequence[nn.Module] = ()
    ) -> None:
        super().__init__()
        self.body = body
        self.pooling = pooling
        self.token_types = token_types
        self.dense = nn.ModuleList(dense)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, dimensions: Tensor) -> Tensor:
        """Return one vector per row.

        Args:
            input_ids: Shape (batch, length).
            attention_mask: The same shape: 1 for tokens, 0 for padding.
            dimensions: Shape (batch): how many leading dimensions each row keeps.

        Returns:
            Shape (batch, dimension): 0 beyond the kept dimensions, which have unit length.
        """
        types = {"token_type_ids": torch.zeros_like(input_ids)} if self.token_types else {}
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **types)
        vectors = pooled(hidden.last_hidden_state.float(), attention_mask, self.pooling)
        for module in self.dense:
            vectors = module({VECTOR: vectors})[VECTOR]
        return unit(truncated(vectors, dimensions))


def encoder_graph(model: "SentenceTransformer", pooling: Pooling) -> EncoderGraph:
    """Return the graph of a loaded model, in fp32 and ready to be traced.

    Args:
        model: As `load_model` returned it: its first module is the transformer.
        pooling: The contract's.
    """
    from sentence_transformers.sentence_transformer.modules import Dense

    body: Any = model[0].auto_model
    # Eager attention accepts any mask as a tensor; SDPA would decide at the traced length whether it is causal.
    body.set_attn_implementation("eager")
    token_types = getattr(body.config, "type_vocab_size", 0) > 0
    dense = [module.float().cpu() for module in model if isinstance(module, Dense)]
    return EncoderGraph(body.float().cpu(), pooling, token_types, dense).eval()


def pooled(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Pool the token vectors of each row into one vector; padding may be on either side.

    Args:
        hidden: Shape (batch, length, dimension).
        mask: Shape (batch, length).
        pooling: The mean of the tokens, the first token or the last one.
    """
    if pooling == "mean":
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
    places = torch.arange(mask.shape[1], device=mask.device)
    # As float32: runtimes have no argmax for 64-bit integers. Exact up to 2^24 tokens.
    rank = (mask * (places + 1)).float() if pooling == "lasttoken" else (mask * (mask.shape[1] - places)).float()
    index = rank.argmax(dim=1).view(-1, 1, 1).expand(-1, 1, hidden.shape[2])
    return hidden.gather(1, index).squeeze(1)


def truncated(vectors: Tensor, dimensions: Tensor) -> Tensor:
    """Set each row to 0 beyond its own dimension."""
    columns = torch.arange(vectors.shape[1], device=vectors.device)
    return vectors * (columns.unsqueeze(0) < dimensions.unsqueeze(1)).to(vectors.dtype)


def unit(vectors: Tensor) -> Tensor:
    """Return the rows at unit length; a row of zeros stays zero."""
    return vectors / vectors.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-12)
