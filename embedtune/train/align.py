"""Keeps a tuned model in the vector space of its base: an index of the base's vectors stays usable meanwhile.

Turning all vectors of a model by the same rotation changes none of its scores. So the tuned model gets the
rotation that brings its passages closest to those of the base (orthogonal Procrustes, Schönemann 1966): its
queries then also find passages that still have the base's vectors, and an index can be renewed passage by passage
(docs/deploying.md, "Without re-indexing at once").
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.precision import device_of
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import Progress
from embedtune.train.dev import LiveEncoder
from embedtune.train.rows import PassageTable

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PASSAGES = 10_000  # at most; a few times as many as the vectors have numbers are enough
# Directions that no passage has are turned as little as possible. Without this, 100 passages in 384 dimensions
# gave a rotation that lost a tenth of the base's nDCG@10; with it, 25 gained.
STILL = 0.01


def rotation(tuned: Vectors, base: Vectors) -> npt.NDArray[np.float32]:
    """Return the rotation R for which tuned · R is closest to base, shape (d, d).

    Args:
        tuned: Vectors of some passages, shape (n, d).
        base: Vectors of the same passages, shape (n, d).
    """
    products = tuned.T.astype(np.float64) @ base.astype(np.float64)
    left, _, right = np.linalg.svd(products + STILL * np.eye(len(products)))
    return np.asarray(left @ right, dtype=np.float32)


def aligned(
    model: "SentenceTransformer",
    base: Encoder,
    passages: PassageTable,
    contract: EncoderContract,
    runtime: RuntimeSettings,
    progress: Progress,
) -> "SentenceTransformer":
    """Return the model with a Dense module that turns its vectors into the space of the base's.

    Args:
        model: The tuned model; its modules are used.
        base: Encoder of the base model.
        passages: The passages that the training rows name.
        contract: How texts are embedded.
        runtime: Device and precision.
        progress: Updated while texts are encoded.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense

    texts = sorted(set(passages.texts()))
    texts = texts[:: -(-len(texts) // PASSAGES)]
    own = LiveEncoder(model, contract, runtime).encode_passages(texts, progress)
    turn = rotation(own, base.encode_passages(texts, progress))
    size = contract.dimensions[0]
    dense = Dense(size, size, bias=False, activation_function=torch.nn.Identity())
    with torch.no_grad():
        dense.linear.weight.copy_(torch.from_numpy(turn.T))
    *modules, normalize = model
    return SentenceTransformer(
        modules=[*modules, dense, normalize],
        device=device_of(runtime),
        prompts={"query": contract.query_prefix, "document": contract.passage_prefix},
        similarity_fn_name="dot",
    )
