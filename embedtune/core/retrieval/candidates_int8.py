"""Which passages can be among a query's best at all? 8-bit products answer fast, within bounds that always hold.

A vector x and its rounded twin x' differ by a residual whose length is known. By Cauchy and Schwarz the product
of two rounded vectors is off by at most e = |q - q'|·|p| + |q'|·|p - p'|. So each product stands for an interval,
and a passage whose upper end lies below the k-th highest lower end cannot be among the k best. What remains, a few
hundred of 100,000, is scored exactly by the caller. On CPUs with VNNI an 8-bit product runs four times as fast as
that of floats.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Vectors = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
GROUP = 32  # passages that share a scale, and whose highest product is looked at first
PASSAGES = 256 * GROUP  # in one product, so that it stays in the processor's cache
QUERIES = 512
LEVELS = 127
TINY = np.float32(1e-12)


@dataclass(frozen=True)
class QuantizedPassages:
    """Passages rounded to 8 bits around their mean, in groups of one scale.

    Attributes:
        levels: Whole groups of rounded passages, shape (GROUP·groups, dimension), int8.
        scale: What one level stands for, by group.
        residual: Length of the longest residual, by group.
        norm: Length of the longest passage around the mean.
        longest: No passage is longer.
        order: Which passage each row of `levels` is.
        rest: Passages that fill no group.
    """

    levels: "torch.Tensor"
    scale: "torch.Tensor"
    residual: "torch.Tensor"
    norm: float
    longest: float
    order: Indices
    rest: Indices


def fast_here() -> bool:
    """Tell whether this CPU multiplies 8-bit numbers fast."""
    import torch

    return torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def quantize(passages: Vectors) -> QuantizedPassages:
    """Round passages; takes a quarter of their memory.

    Args:
        passages: Finite vectors, shape (m, dimension).
    """
    import torch

    # Taking the mean away changes all scores of a query alike; what is left is shorter, so the bounds are closer.
    mean = passages.mean(axis=0, dtype=np.float64).astype(np.float32)
    peaks = np.concatenate([np.abs(part - mean).max(axis=1) for part in _parts(passages)])
    order = np.argsort(peaks, kind="stable")  # neighbours need nearly the same scale
    order, rest = np.split(order, [len(order) - len(order) % GROUP])
    scale = np.maximum(peaks[order].reshape(-1, GROUP).max(axis=1), TINY) / LEVELS
    levels = np.empty((len(order), passages.shape[1]), dtype=np.int8)
    residual = np.empty(len(scale), dtype=np.float32)
    norm = 0.0
    for start in range(0, len(order), PASSAGES):
        rows = slice(start, start + PASSAGES)
        groups = slice(start // GROUP, start // GROUP + PASSAGES // GROUP)
        part = passages[order[rows]] - mean
        steps = np.repeat(scale[groups], GROUP)[:, None]
        rounded = np.rint(part / steps)
        levels[rows] = rounded
        residual[groups] = np.linalg.norm(part - rounded * steps, axis=1).reshape(-1, GROUP).max(axis=1)
        norm = max(norm, float(np.linalg.norm(part, axis=1).max()))
    return QuantizedPassages(
        levels=torch.from_numpy(levels),
        scale=torch.from_numpy(scale.astype(np.float32)),
        residual=torch.from_numpy(residual),
        norm=norm,
        longest=norm + float(np.linalg.norm(mean)),
        order=order,
        rest=rest,
    )


def survivors(queries: Vectors, passages: QuantizedPassages, k: int, most: int) -> Indices | None:
    """Return, for each query, every passage that can be among its k best.

    Args:
        queries: Shape (n, dimension); some hundreds, since the products of all with PASSAGES are held at once.
        passages: What is searched: at least k groups.
        k: Wanted passages.
        most: Give up when a query has more survivors than this.

    Returns:
        Indices (n, width), -1 where a query has fewer; None if it gave up.
    """
    import torch

    step = np.maximum(np.abs(queries).max(axis=1, keepdims=True), TINY) / LEVELS
    rounded = np.rint(queries / step)
    own, foreign = (torch.from_numpy(part) for part in _error(queries, rounded * step, passages))
    levels, scale = torch.from_numpy(rounded.astype(np.int8)), torch.from_numpy(step)
    memory = torch.empty(len(queries) * PASSAGES, dtype=torch.int32)
    best = torch.full((len(queries), k), -torch.inf)
    found: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for start in range(0, len(passages.levels), PASSAGES):
        groups = slice(start // GROUP, (start + PASSAGES) // GROUP)
        block = passages.levels[start : start + PASSAGES]
        product = memory[: len(queries) * len(block)].view(len(queries), len(block))
        torch._int_mm(levels, block.T, out=product)  # torch has no public 8-bit product on the CPU
        product = product.view(len(queries), -1, GROUP)
        unit = scale * passages.scale[groups]
        error = own + foreign * passages.residual[groups]
        highest = product.amax(dim=2) * unit
        # k groups reach the lowest of these, so k passages do.
        best = torch.cat([best, highest - error], dim=1).topk(k, dim=1, sorted=False).values
        bar = best.amin(dim=1, keepdim=True)
        near = (highest + error >= bar).view(-1).nonzero().view(-1)
        row, unit, error = near // highest.shape[1], unit.view(-1)[near], error.view(-1)[near]
        values = product.view(-1, GROUP).index_select(0, near)
        # Compared as integers, since only a few of them are ever needed as scores.
        least = ((bar[row, 0] - error) / unit).floor().clamp(-(2**30), 2**30).int()
        hit = (values >= least[:, None]).view(-1).nonzero().view(-1)
        of = hit // GROUP
        column = start + near[of] % highest.shape[1] * GROUP + hit % GROUP
        found.append((row[of], column, values.view(-1)[hit] * unit[of] + error[of]))
        if sum(len(part[0]) for part in found) > most * len(queries):
            return None
    rows, columns, uppers = (torch.cat(parts) for parts in zip(*found, strict=True))
    keep = uppers >= bar[rows, 0]
    return _matrix(rows[keep].numpy(), passages.order[columns[keep].numpy()], len(queries), passages.rest, most)


def _parts(vectors: Vectors) -> list[Vectors]:
    return [vectors[start : start + PASSAGES] for start in range(0, len(vectors), PASSAGES)]


def _error(queries: Vectors, twins: Vectors, passages: QuantizedPassages) -> tuple[Vectors, Vectors]:
    """Return the two parts of e for each query: its own, and what multiplies the residual of a group."""
    length = np.linalg.norm(queries, axis=1, keepdims=True)
    own = np.linalg.norm(queries - twins, axis=1, keepdims=True) * passages.norm
    # Float32 rounds too, here and in the exact scores: d·2^-24 of the lengths bounds it for a sum of d products.
    own += 4 * queries.shape[1] * 2.0**-24 * length * passages.longest
    return own.astype(np.float32), np.linalg.norm(twins, axis=1, keepdims=True).astype(np.float32)


def _matrix(rows: Indices, columns: Indices, n: int, rest: Indices, most: int) -> Indices | None:
    """Lay survivors out by query; the passages that fill no group survive always."""
    counts = np.bincount(rows, minlength=n)
    if counts.max() > most:
        return None
    order = np.argsort(rows, kind="stable")
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    matrix = np.full((n, counts.max() + len(rest)), -1, dtype=np.int64)
    matrix[rows[order], np.arange(len(rows)) - starts] = columns[order]
    matrix[:, counts.max() :] = rest
    return matrix
