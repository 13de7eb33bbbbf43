"""Finds the passages that can be among the k best of a query, by 8-bit products with strict bounds.

For a query q and a passage p, rounded to 8 bits as q' and p', Cauchy and Schwarz bound the error of a product:

    |q·p - q'·p'| <= e(q, p) = |q - q'|·|p| + |q'|·|p - p'|

    bar(q) = the k-th highest of q'·p' - e(q, p) over all passages
    p can be among the k best of q only if q'·p' + e(q, p) >= bar(q)

The passages are scanned block by block, with the bar found so far. A group of passages of which even the
highest product stays below the bar is dropped (`_prune`); the passages of the other groups are compared one by one
(`_score`); those that reach the final bar are the candidates (`_collect`). The caller scores them exactly: a few
hundred of 100,000. On CPUs with VNNI an 8-bit product runs four times as fast as a product of floats.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Vectors = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
GROUP = 32  # passages that share a scale; their highest product is compared first
PASSAGES = 256 * GROUP  # in one block, so that its products fit into the processor's cache
QUERIES = 512
LEVELS = 127
TINY = np.float32(1e-12)


@dataclass(frozen=True)
class QuantizedPassages:
    """Passages rounded to 8 bits around their mean, in groups of one scale.

    Attributes:
        levels: Complete groups of rounded passages, shape (GROUP·groups, dimension), int8.
        scale: Value of one level, by group.
        residual: The longest |p - p'|, by group.
        norm: The longest |p|, measured from the mean.
        longest: An upper bound on the length of the passages themselves.
        order: Index of the passage in each row of `levels`.
        rest: Indices of the passages left over after the last complete group.
    """

    levels: "torch.Tensor"
    scale: "torch.Tensor"
    residual: "torch.Tensor"
    norm: float
    longest: float
    order: Indices
    rest: Indices


def fast_here() -> bool:
    """Return whether this CPU multiplies 8-bit numbers quickly."""
    import torch

    return torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def quantize(passages: Vectors) -> QuantizedPassages:
    """Round passages to 8 bits; the result takes a quarter of their memory.

    Args:
        passages: Finite vectors, shape (m, dimension).
    """
    import torch

    # Subtracting the mean changes all scores of a query by the same amount; shorter vectors have closer bounds.
    mean = passages.mean(axis=0, dtype=np.float64).astype(np.float32)
    peaks = np.concatenate([np.abs(part - mean).max(axis=1) for part in _parts(passages)])
    order = np.argsort(peaks, kind="stable")  # so that the passages of a group need nearly the same scale
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


@dataclass(frozen=True)
class _Queries:
    """Rounded queries: e(q, p) = `own` + `factor` · |p - p'|, all of shape (n, 1) except `levels`."""

    levels: "torch.Tensor"
    scale: "torch.Tensor"
    own: "torch.Tensor"
    factor: "torch.Tensor"


@dataclass(frozen=True)
class _Block:
    """The products of the queries with the passages of some groups.

    Attributes:
        start: The first passage, as a row of `levels`.
        product: Products of levels, shape (n, groups, GROUP), int32.
        unit: What a product of levels has to be multiplied by, shape (n, groups).
        error: e(q, p) for the longest residual of a group, shape (n, groups).
    """

    start: int
    product: "torch.Tensor"
    unit: "torch.Tensor"
    error: "torch.Tensor"


_Hits = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]  # query, row of `levels`, q'·p' + e(q, p)


def candidates_within_bound(queries: Vectors, passages: QuantizedPassages, k: int, most: int) -> Indices | None:
    """Return, for each query, every passage that can be among its k best.

    Args:
        queries: Shape (n, dimension); a few hundred, since their products with PASSAGES passages are in memory.
        passages: The passages to search: at least k groups.
        k: Number of passages wanted.
        most: Give up when a query has more candidates than this.

    Returns:
        Indices (n, width), padded with -1; None if it gave up.
    """
    import torch

    rounded = _round_queries(queries, passages)
    memory = torch.empty(len(queries) * PASSAGES, dtype=torch.int32)
    best = torch.full((len(queries), k), -torch.inf)
    bar = best[:, :1]
    found: list[_Hits] = []
    for start in range(0, len(passages.levels), PASSAGES):
        block = _multiply(rounded, passages, start, memory)
        best, bar, near = _prune(block, best, k)
        found.append(_score(block, near, bar))
        if sum(len(hits[0]) for hits in found) > most * len(queries):
            return None
    return _collect(found, bar, passages, most)


def _round_queries(queries: Vectors, passages: QuantizedPassages) -> _Queries:
    import torch

    step = np.maximum(np.abs(queries).max(axis=1, keepdims=True), TINY) / LEVELS
    levels = np.rint(queries / step)
    own, factor = (torch.from_numpy(part) for part in _error(queries, levels * step, passages))
    return _Queries(torch.from_numpy(levels.astype(np.int8)), torch.from_numpy(step), own, factor)


def _multiply(queries: _Queries, passages: QuantizedPassages, start: int, memory: "torch.Tensor") -> _Block:
    import torch

    groups = slice(start // GROUP, (start + PASSAGES) // GROUP)
    levels = passages.levels[start : start + PASSAGES]
    n = len(queries.levels)
    product = memory[: n * len(levels)].view(n, len(levels))
    torch._int_mm(queries.levels, levels.T, out=product)  # torch has no public 8-bit product on the CPU
    unit = queries.scale * passages.scale[groups]
    error = queries.own + queries.factor * passages.residual[groups]
    return _Block(start, product.view(n, -1, GROUP), unit, error)


def _prune(block: _Block, best: "torch.Tensor", k: int) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
    """Raise the bar by the highest product of each group, and drop the groups that stay below it.

    Returns:
        The k highest lower bounds of each query; the lowest of these; the groups that are left, numbered across
        all queries.
    """
    import torch

    highest = block.product.amax(dim=2) * block.unit
    # Lower bounds from k groups belong to k passages, so the lowest of them is a bar.
    best = torch.cat([best, highest - block.error], dim=1).topk(k, dim=1, sorted=False).values
    bar = best.amin(dim=1, keepdim=True)
    return best, bar, (highest + block.error >= bar).view(-1).nonzero().view(-1)


def _score(block: _Block, near: "torch.Tensor", bar: "torch.Tensor") -> _Hits:
    """Return the passages of the groups `near` that reach the bar."""
    groups = block.unit.shape[1]
    row, unit, error = near // groups, block.unit.view(-1)[near], block.error.view(-1)[near]
    values = block.product.view(-1, GROUP).index_select(0, near)
    # The comparison is between integers, since only a few products are ever needed as scores.
    least = ((bar[row, 0] - error) / unit).floor().clamp(-(2**30), 2**30).int()
    hit = (values >= least[:, None]).view(-1).nonzero().view(-1)
    of = hit // GROUP
    column = block.start + near[of] % groups * GROUP + hit % GROUP
    return row[of], column, values.view(-1)[hit] * unit[of] + error[of]


def _collect(found: list[_Hits], bar: "torch.Tensor", passages: QuantizedPassages, most: int) -> Indices | None:
    """Return the passages that reach the final bar, by query, and those that are in no group."""
    import torch

    rows, columns, uppers = (torch.cat(parts) for parts in zip(*found, strict=True))
    keep = uppers >= bar[rows, 0]
    return _matrix(rows[keep].numpy(), passages.order[columns[keep].numpy()], len(bar), passages.rest, most)


def _parts(vectors: Vectors) -> list[Vectors]:
    return [vectors[start : start + PASSAGES] for start in range(0, len(vectors), PASSAGES)]


def _error(queries: Vectors, rounded: Vectors, passages: QuantizedPassages) -> tuple[Vectors, Vectors]:
    """Return the two parts of e(q, p) for each query: its own, and the factor of a group's residual."""
    length = np.linalg.norm(queries, axis=1, keepdims=True)
    own = np.linalg.norm(queries - rounded, axis=1, keepdims=True) * passages.norm
    # Float32 rounds too, here and in the exact scores: d·2^-24 of the lengths bounds that for a sum of d products.
    own += 4 * queries.shape[1] * 2.0**-24 * length * passages.longest
    return own.astype(np.float32), np.linalg.norm(rounded, axis=1, keepdims=True).astype(np.float32)


def _matrix(rows: Indices, columns: Indices, n: int, rest: Indices, most: int) -> Indices | None:
    """Arrange candidates by query; the passages in `rest` are candidates of every query."""
    counts = np.bincount(rows, minlength=n)
    if counts.max() > most:
        return None
    order = np.argsort(rows, kind="stable")
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    matrix = np.full((n, counts.max() + len(rest)), -1, dtype=np.int64)
    matrix[rows[order], np.arange(len(rows)) - starts] = columns[order]
    matrix[:, counts.max() :] = rest
    return matrix
