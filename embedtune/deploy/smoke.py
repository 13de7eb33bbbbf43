"""The smoke test: embeds reference texts through the endpoint and compares each vector with the trained one."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq

from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import GateError
from embedtune.core.progress import Progress
from embedtune.core.records.deployment import CosineRange, DriftedText, EndpointDrift

SHOWN = 5  # worst texts in endpoint.json and in the error
Kind = Literal["query", "passage"]


@dataclass(frozen=True)
class Reference:
    """Texts and the vectors that PyTorch computed for them.

    Args:
        texts: The texts, without prefix.
        kinds: The kind of each.
        vectors: Float32, unit length.
    """

    texts: Sequence[str]
    kinds: Sequence[Kind]
    vectors: Vectors


@dataclass(frozen=True)
class Smoke:
    """The result of a smoke test.

    Args:
        reference: The texts that were sent, and their expected vectors.
        cosines: Cosine similarity of each text's two vectors.
        passages_per_second: Measured over the passages.
    """

    reference: Reference
    cosines: Vectors
    passages_per_second: float

    def drift(self, endpoint: str) -> EndpointDrift:
        """Return how far the live service's vectors are from the checkpoint's.

        Args:
            endpoint: Address of the service.
        """
        lowest, mean = float(self.cosines.min()), float(self.cosines.mean())
        return EndpointDrift(
            endpoint=endpoint,
            texts=len(self.cosines),
            queries=list(self.reference.kinds).count("query"),
            cosine=CosineRange(min=round(lowest, 7), mean=round(mean, 7)),
            worst=tuple(self.worst()),
            passages_per_second=round(self.passages_per_second, 2),
        )

    def worst(self) -> list[DriftedText]:
        """Return the texts that drifted most, the worst first."""
        order = np.argsort(self.cosines, kind="stable")[:SHOWN]
        return [
            DriftedText(
                cosine=round(float(self.cosines[row]), 7),
                kind=self.reference.kinds[row],
                text=self.reference.texts[row][:200],
            )
            for row in order
        ]


def read_reference(file: Path, count: int) -> Reference:
    """Choose reference texts evenly over the lengths; the shortest and the longest of each kind are among them.

    Args:
        file: reference.parquet of a release.
        count: How many texts; all if there are fewer.
    """
    columns = ("text", "kind", "vector")
    table = pq.read_table(file, columns=list(columns))
    rows = list(zip(*(table[name].to_pylist() for name in columns), strict=True))
    chosen = []
    kinds = [kind for kind in ("query", "passage") if any(row[1] == kind for row in rows)]
    for place, kind in enumerate(kinds):
        of_kind = sorted((row for row in rows if row[1] == kind), key=lambda row: (len(row[0]), row[0]))
        wanted = min(len(of_kind), count // len(kinds) + (place < count % len(kinds)))
        chosen += [of_kind[round(at)] for at in np.linspace(0, len(of_kind) - 1, wanted)]
    vectors = np.asarray([vector for _, _, vector in chosen], dtype=np.float32)
    return Reference([text for text, _, _ in chosen], [kind for _, kind, _ in chosen], vectors)


def ask(encoder: Encoder, reference: Reference, progress: Progress) -> Smoke:
    """Send the texts to an endpoint and compare the vectors.

    Args:
        encoder: The endpoint.
        reference: Texts and the vectors that are expected.
        progress: Updated as texts are encoded.

    Raises:
        GateError: The vectors have a different size.
    """
    got = np.empty_like(reference.vectors)
    rate = 0.0
    for kind, encode in (("query", encoder.encode_queries), ("passage", encoder.encode_passages)):
        rows = [row for row, of_kind in enumerate(reference.kinds) if of_kind == kind]
        if not rows:
            continue
        started = time.perf_counter()
        vectors = encode([reference.texts[row] for row in rows], progress)
        rate = len(rows) / (time.perf_counter() - started)
        if vectors.shape[1] != got.shape[1]:
            raise GateError(
                "the endpoint returns vectors of the wrong size", got=vectors.shape[1], expected=got.shape[1]
            )
        got[rows] = vectors
    # Not a plain inner product: an endpoint that does not normalise must not pass because its vectors are long.
    norms = np.linalg.norm(got, axis=1)
    cosines = np.einsum("ij,ij->i", got, reference.vectors) / np.where(norms > 0, norms, 1)
    cosines = np.where(np.isfinite(cosines) & (np.abs(norms - 1) < 1e-3), cosines, -1.0).astype(np.float32)
    return Smoke(reference, cosines, rate)


def require(smoke: Smoke, min_cosine: float) -> None:
    """Refuse an endpoint that drifted.

    Raises:
        GateError: A text is below the limit; the message names the worst ones.
    """
    below = int((smoke.cosines < min_cosine).sum())
    if below:
        raise GateError(
            "the endpoint does not return the trained vectors: "
            f"{below} of {len(smoke.cosines)} texts are below the limit",
            got="; ".join(f"{entry.cosine:.5f} {entry.kind} {entry.text[:60]!r}" for entry in smoke.worst()),
            expected=f"cosine similarity of at least {min_cosine} (deploy.min_cosine, else export.min_cosine_…)",
        )
