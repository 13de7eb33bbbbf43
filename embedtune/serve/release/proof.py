"""The proof of a release: texts with the vectors that PyTorch computed, and a comparison with a server's."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import ArtifactError, GateError
from embedtune.core.npz import read_arrays, write_arrays
from embedtune.core.records.deployment import CosineRange, DriftedText, EndpointDrift

SHOWN = 5  # worst texts in endpoint.json and in the error
Kind = Literal["query", "passage"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Embed = Callable[[Sequence[str], Kind], Vectors]
Fits = Callable[[str, Kind], bool]


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


def read_reference(file: Path, count: int, fits: Fits = lambda text, kind: True) -> Reference:
    """Choose reference texts evenly over the lengths; the shortest and the longest of each kind are among them.

    Args:
        file: reference.parquet of an engine or a release.
        count: How many texts; all if there are fewer.
        fits: Whether the endpoint accepts a text.
    """
    import pyarrow.parquet as pq  # a serving pod does without it

    columns = ("text", "kind", "vector")
    table = pq.read_table(file, columns=list(columns))
    rows = [
        row for row in zip(*(table[name].to_pylist() for name in columns), strict=True) if fits(row[0], row[1])
    ]
    chosen = []
    kinds = [kind for kind in KINDS if any(row[1] == kind for row in rows)]
    for place, kind in enumerate(kinds):
        of_kind = sorted((row for row in rows if row[1] == kind), key=lambda row: (len(row[0]), row[0]))
        wanted = min(len(of_kind), count // len(kinds) + (place < count % len(kinds)))
        chosen += [of_kind[round(at)] for at in np.linspace(0, len(of_kind) - 1, wanted)]
    vectors = np.asarray([vector for _, _, vector in chosen], dtype=np.float32)
    return Reference([text for text, _, _ in chosen], [kind for _, kind, _ in chosen], vectors)


def write_proof(file: Path, reference: Reference) -> None:
    """Write texts, kinds and vectors as one NumPy archive."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "texts": np.frombuffer("\0".join(reference.texts).encode(), np.uint8),  # no text contains a null byte
        "kinds": np.array([KINDS.index(kind) for kind in reference.kinds], np.uint8),
        "vectors": reference.vectors.astype(np.float32),
    }
    write_arrays(file, arrays)


def read_proof(file: Path) -> Reference:
    """Read the proof of a release.

    Raises:
        ArtifactError: It is not one.
    """
    arrays = read_arrays(file, ("texts", "kinds", "vectors"), "the proof of a release")
    try:
        texts = arrays["texts"].tobytes().decode().split("\0")
        kinds = [KINDS[number] for number in arrays["kinds"]]
        vectors: Vectors = arrays["vectors"]
    except (ValueError, IndexError) as error:
        raise ArtifactError(f"{file} is not the proof of a release", got=error) from error
    if not (len(texts) == len(kinds) == len(vectors)):
        raise ArtifactError(f"{file} is not the proof of a release", got="texts and vectors do not match")
    return Reference(texts, kinds, vectors)


def shuffled(reference: Reference) -> Reference:
    """Return a proof in random order, so that a server's cache of whole requests does not answer for the model."""
    order = np.random.default_rng().permutation(len(reference.texts))
    return Reference(
        [reference.texts[row] for row in order], [reference.kinds[row] for row in order], reference.vectors[order]
    )


def ask(embed: Embed, reference: Reference, endpoint: str) -> EndpointDrift:
    """Encode the texts of a proof and compare the vectors.

    Args:
        embed: The server.
        reference: Texts and the vectors that are expected.
        endpoint: Address of the server, for the record.

    Returns:
        How far the server's vectors are from the checkpoint's.

    Raises:
        GateError: The vectors have a different size.
    """
    got = np.empty_like(reference.vectors)
    rate = 0.0
    for kind in KINDS:
        rows = [row for row, of_kind in enumerate(reference.kinds) if of_kind == kind]
        if not rows:
            continue
        started = time.perf_counter()
        vectors = embed([reference.texts[row] for row in rows], kind)
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
    return EndpointDrift(
        endpoint=endpoint,
        texts=len(cosines),
        queries=list(reference.kinds).count("query"),
        cosine=CosineRange(min=round(float(cosines.min()), 7), mean=round(float(cosines.mean()), 7)),
        worst=tuple(_worst(reference, cosines)),
        passages_per_second=round(rate, 2),
    )


def _worst(reference: Reference, cosines: Vectors) -> list[DriftedText]:
    order = np.argsort(cosines, kind="stable")[:SHOWN]
    return [
        DriftedText(
            cosine=round(float(cosines[row]), 7), kind=reference.kinds[row], text=reference.texts[row][:200]
        )
        for row in order
    ]


def require_close(drift: EndpointDrift, min_cosine: float) -> None:
    """Refuse a server that drifted.

    Raises:
        GateError: A text is below the limit; the message names the worst ones.
    """
    below = [entry for entry in drift.worst if entry.cosine < min_cosine]
    if below:
        count = f"{len(below)}" if len(below) < len(drift.worst) else f"at least {len(below)}"
        raise GateError(
            "the endpoint does not return the trained vectors: "
            f"{count} of {drift.texts} texts are below the limit",
            got="; ".join(f"{entry.cosine:.5f} {entry.kind} {entry.text[:60]!r}" for entry in below),
            expected=f"cosine similarity of at least {min_cosine} (deploy.min_cosine, else export.min_cosine_…)",
        )
