"""Disjoint sets of whole numbers."""

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


class UnionFind:
    """Disjoint sets of whole numbers; each set is named by its smallest member."""

    def __init__(self, size: int) -> None:
        self._parent = np.arange(size)

    def find(self, item: int) -> int:
        """Return the name of the set that contains `item`."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = int(parent[item])
        return item

    def union(self, a: int, b: int) -> None:
        """Merge the sets of `a` and `b`."""
        a, b = self.find(a), self.find(b)
        self._parent[max(a, b)] = min(a, b)

    def labels(self) -> Labels:
        """Return the name of the set of each item."""
        return np.array([self.find(item) for item in range(len(self._parent))], dtype=np.int64)
