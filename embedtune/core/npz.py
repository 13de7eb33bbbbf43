"""NumPy archives without pickles, the same bytes for the same content."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedtune.core.errors import ArtifactError

MOST_BYTES = 64 << 20  # unpacked; whoever can write to a bucket could otherwise fill the memory of its readers
Arrays = Mapping[str, npt.NDArray[Any]]


def write_arrays(file: Path, arrays: Arrays) -> None:
    """Write arrays as one archive.

    Args:
        file: The archive.
        arrays: By name.
    """
    # Not numpy.savez: it writes the time of day into the archive.
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as stream:
                np.lib.format.write_array(stream, np.asarray(values), allow_pickle=False)


def read_arrays(file: Path, names: tuple[str, ...], what: str) -> Arrays:
    """Read arrays from an archive.

    Args:
        file: The archive.
        names: The arrays that it must have.
        what: What it is, for the error.

    Raises:
        ArtifactError: It cannot be read, is too large, or lacks one of them.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST_BYTES:
            raise ValueError(f"{size:,} bytes; at most {MOST_BYTES:,} are read")
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    # MemoryError: a header promises more than there is.
    except (OSError, EOFError, ValueError, KeyError, MemoryError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{file} is not {what}", got=error) from error
