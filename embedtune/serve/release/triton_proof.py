"""The proof that each process of the endpoint model gives itself, before Triton passes it a request.

Triton spreads requests over the processes of a model, and a proof from outside may reach only some of them. Like
triton_model.py this is copied into a model repository, and imports no other module of embedtune.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
KINDS = (b"query", b"passage")  # as serve/release/proof.py numbers them
UNIT = 1e-3  # how far the length of a vector may be from 1
SHOWN = 60  # characters of the worst text


class NotProvenError(Exception):
    """This process does not return the trained vectors."""


def require_reference(
    file: Path, limit: float, batch: int, embed: Callable[[Sequence[bytes], Sequence[bytes]], Floats]
) -> None:
    """Refuse to start if a reference text gets a different vector here than from the trained model.

    Args:
        file: proof.npz of the release.
        limit: Lowest cosine similarity allowed.
        batch: Most texts at a time.
        embed: Texts in UTF-8 and their kinds to vectors.

    Raises:
        NotProvenError: A text is below the limit; the message has the worst one.
    """
    with np.load(file, allow_pickle=False) as arrays:
        texts = arrays["texts"].tobytes().split(b"\0")
        kinds = [KINDS[number] for number in arrays["kinds"]]
        expected: Floats = arrays["vectors"]
    parts = [slice(start, start + batch) for start in range(0, len(texts), batch)]
    got = np.concatenate([embed(texts[part], kinds[part]) for part in parts])
    if got.shape != expected.shape:
        raise NotProvenError(f"the vectors have {got.shape[1]} dimensions; expected {expected.shape[1]}")
    lengths = np.linalg.norm(got, axis=1)
    cosines = np.where(np.abs(lengths - 1) < UNIT, (got * expected).sum(axis=1), -1.0)
    cosines = np.where(np.isfinite(cosines), cosines, -1.0)
    if below := int((cosines < limit).sum()):
        worst = int(cosines.argmin())
        text = texts[worst].decode()[:SHOWN]
        raise NotProvenError(
            f"a process of the model does not return the trained vectors: {below} of {len(texts)} texts are below "
            f"the cosine similarity {limit:g}, the worst with {cosines[worst]:.5f}: {text!r}"
        )
