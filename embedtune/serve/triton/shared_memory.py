"""Shared memory of Triton and its Python models: it has a name, so that what a killed server leaves is removed."""

import secrets
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 - where Linux keeps shared memory


class SharedMemory:
    """The regions of one server.

    Args:
        folder: Where the regions are.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._prefix = f"embedtune-{secrets.token_hex(8)}"

    def flags(self) -> list[str]:
        """Return the options of tritonserver that give its regions their names."""
        return [f"--backend-config=python,shm-region-prefix-name={self._prefix}"]

    def remove(self) -> None:
        """Remove the regions of a server that has ended: if it was killed, it has not."""
        for region in self._folder.glob(f"{self._prefix}*"):
            region.unlink(missing_ok=True)
