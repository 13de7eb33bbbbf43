"""Whether a release fits into memory next to those that are loaded, asked before it is loaded."""

from collections.abc import Sequence
from pathlib import Path

from embedtune.core.errors import GateError
from embedtune.serve.release.model_repository import WEIGHTS
from embedtune.serve.release.record import Release, short

# Per copy of the encoder, in addition to its weights: Python, tokenizer and buffers. A second release of
# all-MiniLM-L6-v2 in fp32 (two copies, 90.8 MB of weights each) took 297 MiB more.
COPY_BYTES = 64 << 20
CGROUP = Path("/sys/fs/cgroup")


def require_memory(release: Release, others: Sequence[Release]) -> None:
    """Refuse a release that does not fit next to others; a first one is always tried.

    Raises:
        GateError: The memory that is left is less than an estimate of what it needs.
    """
    if not others or release.target != "python-cpu":
        return
    needed, left = needed_bytes(release), left_bytes()
    if left is not None and left < needed:
        raise GateError(
            f"there is no memory for release {short(release.id)} next to {_names(others)}",
            got=f"{left / 1e6:.0f} MB are left",
            expected=f"about {needed / 1e6:.0f} MB",
            fix="give Triton more memory (in the chart: triton.resources), lower serve.instances, or accept that "
            "nothing answers during a switch: deploy.memory=turns",
        )


def needed_bytes(release: Release) -> int:
    """Return about how much memory the copies of the encoder need."""
    weights = sum((release.path / name).stat().st_size for name in WEIGHTS if name in release.record.files)
    return (release.record.serve.instances + 1) * (weights + COPY_BYTES)


def left_bytes(cgroup: Path = CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return how much memory this container, or this machine, has left; None if that is not known.

    Args:
        cgroup: The control group of this process.
        meminfo: The machine's figures.
    """
    found = []
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        if "MemAvailable" in lines:
            found.append(int(lines["MemAvailable"].split()[0]) << 10)
    limit, used = cgroup / "memory.max", cgroup / "memory.current"
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
        # Pages of files that were read, which the kernel drops when memory is needed.
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        found.append(int(most) - int(used.read_text()) + int(stat.get("inactive_file", 0)))
    return min(found) if found else None


def _names(releases: Sequence[Release]) -> str:
    return " and ".join(short(release.id) for release in releases)
