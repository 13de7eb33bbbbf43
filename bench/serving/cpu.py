"""CPU seconds of servers, read from Linux's /proc: all their processes, Triton's Python backends too."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(roots: Sequence[int]) -> float:
    """Return the CPU seconds that processes and their living descendants have used.

    Args:
        roots: Process ids. What a descendant used that has ended is counted where its parent has waited for it.
    """
    used: dict[int, int] = {}
    children: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            children[int(fields[1])].append(int(folder.name))
            used[int(folder.name)] = sum(map(int, fields[11:15]))  # of its own and of children it waited for
    waiting, total = list(roots), 0
    while waiting:
        process = waiting.pop()
        total += used.get(process, 0)
        waiting += children[process]
    return total / TICKS
