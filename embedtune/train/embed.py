"""Encodes features with gradients: in one forward pass, or piece by piece in bounded memory."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Features = dict[str, Any]  # as sentence-transformers' models take and return them


def embed(model: nn.Module, features: Features) -> Tensor:
    """Return the vectors of tokenized texts, shape (n, dimension), with their autograd graph."""
    # A copy, since the model writes into the dictionary.
    vectors: Tensor = model(dict(features))["sentence_embedding"]
    return vectors


def embed_cached(model: nn.Module, features: Features, piece: int) -> Tensor:
    """Return the same vectors, but keep the activations of only one piece at a time.

    This is gradient caching (GradCache, arXiv 2101.06983) by checkpointing: each piece is encoded without keeping
    its activations. In the backward pass it is encoded again, with the same random state and hence the same
    dropout, and the gradient of its vectors is propagated through it. The last piece keeps its graph, since the
    backward pass begins with it: it is encoded once. Texts are ordered by length, longest last, so that pieces
    contain little padding and the most expensive one is not encoded twice.

    Args:
        model: A sentence-transformers model.
        features: Tokenized texts, padded to the longest.
        piece: Number of texts encoded at a time.
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
    """Return some rows of the features, without the columns that are padding in all of these rows."""
    used = features["attention_mask"][rows].any(dim=0)
    return {
        name: value[rows][:, used] if isinstance(value, Tensor) and value.ndim == 2 else value
        for name, value in features.items()
    }
