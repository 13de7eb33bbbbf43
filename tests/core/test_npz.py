"""NumPy archives: what is refused, since whoever can write to a bucket may have made them."""

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from embedtune.core.errors import ArtifactError
from embedtune.core.npz import MOST_BYTES, read_arrays, write_arrays


def test_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", {"x": np.arange(3), "y": np.eye(2)})
    found = read_arrays(tmp_path / "a.npz", ("y", "x"), "ours")
    assert {name: array.tolist() for name, array in found.items()} == {"x": [0, 1, 2], "y": [[1, 0], [0, 1]]}


def packed(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    return path


def bomb(path: Path) -> Path:
    return packed(path, bytes(MOST_BYTES + 1))  # some kilobytes on disk


def promise(path: Path) -> Path:
    stream = BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (1 << 50,)})
    return packed(path, stream.getvalue())


def pickled(path: Path) -> Path:
    stream = BytesIO()
    np.lib.format.write_array(stream, np.array([{}], dtype=object))
    return packed(path, stream.getvalue())


def text(path: Path) -> Path:
    path.write_text("no archive")
    return path


@pytest.mark.parametrize("make", [bomb, promise, pickled, text])
def test_anything_else_is_refused(tmp_path: Path, make) -> None:
    with pytest.raises(ArtifactError, match=r"a\.npz is not ours"):
        read_arrays(make(tmp_path / "a.npz"), ("x",), "ours")


def test_a_missing_array_or_file_is_refused(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", {"x": np.arange(3)})
    for file, name in (("a.npz", "y"), ("none.npz", "x")):
        with pytest.raises(ArtifactError, match="is not ours"):
            read_arrays(tmp_path / file, (name,), "ours")
