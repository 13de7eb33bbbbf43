"""Features to vectors with gradients: in one forward pass, or piece by piece in bounded memory."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Features = dict[str, Any]


def embed(model: nn.Module, features: Features) -> Tensor:
    """Return the vectors of tokenized texts, shape (n, dimension), with their graph."""
    # The model writes into the dictionary it is given.
    vectors: Tensor = model(dict(features))["sentence_embedding"]
    return vectors


def embed_cached(model: nn.Module, features: Features, piece: int) -> Tensor:
    """Return the same vectors, keeping the activations of one piece only.

    This is gradient caching (GradCache, arXiv 2101.06983) by checkpointing: a piece is encoded without keeping its
    activations; when the gradient of the loss over all vectors arrives, it is encoded again, with the same random
    state and hence the same dropout, and that gradient goes through it. The last piece keeps its graph, since the
    backward pass begins with it: it is encoded once. Texts are ordered by length, longest last, so that a piece is
    hardly padded and the dearest one is not encoded twice.

    Args:
        model: A sentence-transformers model.
        features: Tokenized texts, padded to the longest.
        piece: Texts encoded at a time.
    """
    order = torch.argsort(features["attention_mask"].sum(dim=1), stable=True)
    *cached, last = torch.split(order, piece)
    vectors = [
        checkpoint(embed, model, _select(features, rows), use_reentrant=False, preserve_rng_state=True)
        for rows in cached
    ]
    vectors.append(embed(model, _select(features, last)))
    return torch.cat(vectors)[torch.argsort(order)]


def _select(features: Features, rows: Tensor) -> Features:
    """Return some rows of the features, without the columns that are padding in all of them (on either side)."""
    used = features["attention_mask"][rows].any(dim=0)
    return {
        name: value[rows][:, used] if isinstance(value, Tensor) and value.ndim == 2 else value
        for name, value in features.items()
    }
