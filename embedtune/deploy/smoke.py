"""Does the endpoint give the vectors that were trained? Reference texts through it, one cosine similarity each."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import GateError
from embedtune.core.progress import Progress

SHOWN = 5  # worst texts in endpoint.json and in the error


@dataclass(frozen=True)
class Reference:
    """Texts and the vectors that PyTorch gave for them.

    Args:
        texts: The texts, without prefix.
        kinds: "query" or "passage", for each.
        vectors: Float32, unit length.
    """

    texts: list[str]
    kinds: list[str]
    vectors: Vectors


@dataclass(frozen=True)
class Smoke:
    """What came back.

    Args:
        reference: What was asked.
        cosines: Of each text, endpoint against reference.
        passages_per_second: The measured rate over the passages.
    """

    reference: Reference
    cosines: Vectors
    passages_per_second: float

    def record(self) -> dict[str, Any]:
        """Return the content of endpoint.json: the drift of the live service from the checkpoint."""
        return {
            "texts": len(self.cosines),
            "queries": self.reference.kinds.count("query"),
            "cosine": {
                "min": round(float(self.cosines.min()), 7),
                "mean": round(float(self.cosines.mean()), 7),
            },
            "worst": self.worst(),
            "passages_per_second": round(self.passages_per_second, 2),
        }

    def worst(self) -> list[dict[str, Any]]:
        """Return the texts that drifted most."""
        order = np.argsort(self.cosines, kind="stable")[:SHOWN]
        return [
            {
                "cosine": round(float(self.cosines[row]), 7),
                "kind": self.reference.kinds[row],
                "text": self.reference.texts[row][:200],
            }
            for row in order
        ]


def read_reference(file: Path, count: int) -> Reference:
    """Choose reference texts: evenly over the lengths, the shortest and the longest of each kind among them.

    Args:
        file: reference.parquet of a release.
        count: So many texts, or all if there are fewer.
    """
    rows = pq.read_table(file).to_pylist()
    chosen = []
    kinds = [kind for kind in ("query", "passage") if any(row["kind"] == kind for row in rows)]
    for place, kind in enumerate(kinds):
        of_kind = sorted(
            (row for row in rows if row["kind"] == kind), key=lambda row: (len(row["text"]), row["text"])
        )
        wanted = min(len(of_kind), count // len(kinds) + (place < count % len(kinds)))
        chosen += [of_kind[round(at)] for at in np.linspace(0, len(of_kind) - 1, wanted)]
    vectors = np.asarray([row["vector"] for row in chosen], dtype=np.float32)
    return Reference([row["text"] for row in chosen], [row["kind"] for row in chosen], vectors)


def ask(encoder: Encoder, reference: Reference, progress: Progress) -> Smoke:
    """Send the texts through an endpoint and compare.

    Args:
        encoder: The endpoint.
        reference: Texts and the vectors that are expected.
        progress: Where the work is reported.

    Raises:
        GateError: The vectors have another size.
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
                "the endpoint gives vectors of another size", got=vectors.shape[1], expected=got.shape[1]
            )
        got[rows] = vectors
    # Not a plain product: an endpoint that does not normalise shall not pass by the length of its vectors.
    norms = np.linalg.norm(got, axis=1)
    cosines = np.einsum("ij,ij->i", got, reference.vectors) / np.where(norms > 0, norms, 1)
    cosines = np.where(np.isfinite(cosines) & (np.abs(norms - 1) < 1e-3), cosines, -1.0).astype(np.float32)
    return Smoke(reference, cosines, rate)


def require(smoke: Smoke, min_cosine: float) -> None:
    """Refuse an endpoint that drifted.

    Raises:
        GateError: A text lies below the limit; names the worst.
    """
    below = int((smoke.cosines < min_cosine).sum())
    if below:
        raise GateError(
            f"the endpoint does not give the trained vectors: {below} of {len(smoke.cosines)} texts drifted",
            got="; ".join(_line(entry) for entry in smoke.worst()),
            expected=f"cosine similarity of at least {min_cosine} (deploy.min_cosine, else export.min_cosine_…)",
        )


def _line(entry: dict[str, Any]) -> str:
    return f"{entry['cosine']:.5f} {entry['kind']} {entry['text'][:60]!r}"
