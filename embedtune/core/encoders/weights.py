"""The safetensors weights of a model directory: of its transformer, in one file or several, and Dense modules."""

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedtune.core.artifacts import file_sha256
from embedtune.core.encoders.modules import DENSE_WEIGHTS, dense_folders
from embedtune.core.errors import InputError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def weight_files(path: Path) -> list[Path]:
    """Return the weight files of a model directory: the transformer's, sorted by name, then each Dense module's.

    Raises:
        InputError: There are none, or one is missing.
    """
    return _transformer_files(path) + [_dense_file(folder) for folder in sorted(dense_folders(path))]


def weights_sha256(path: Path) -> str:
    """Return the hash of a model's weights: of the one file, or over the set.

    Over a set it is what `sha256sum model*.safetensors */model.safetensors | sha256sum` prints.

    Raises:
        InputError: The weights are missing or incomplete.
    """
    files = weight_files(path)
    if files == [path / WEIGHTS]:
        return file_sha256(files[0])
    lines = "".join(f"{file_sha256(file)}  {file.relative_to(path)}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def tensor_names(path: Path) -> set[str]:
    """Return the names of all tensors of a model's transformer.

    Raises:
        InputError: The weights are missing, incomplete or damaged.
    """
    names: set[str] = set()
    for file in _transformer_files(path):
        with opened_weights(file) as tensors:
            names.update(tensors.keys())
    return names


def parameters(path: Path) -> int:
    """Return the number of weights of a model, its Dense modules included; they are not loaded.

    Raises:
        InputError: The weights are missing, incomplete or damaged.
    """
    total = 0
    for file in weight_files(path):
        with opened_weights(file) as tensors:
            total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    return total


@contextmanager
def opened_weights(file: Path) -> Iterator[Any]:
    """Open a safetensors file without loading its tensors.

    Args:
        file: The file.

    Raises:
        InputError: It is damaged.
        PermissionError: This user may not read it; safetensors would say that there is no such file.
    """
    from safetensors import SafetensorError, safe_open

    file.open("rb").close()
    try:
        with safe_open(file, framework="numpy") as tensors:
            yield tensors
    except SafetensorError as error:
        raise InputError(f"{file} is damaged", got=str(error), fix="download the base model again") from error


def _transformer_files(path: Path) -> list[Path]:
    if (path / WEIGHTS).is_file():
        return [path / WEIGHTS]
    if not (path / INDEX).is_file():
        raise InputError(
            f"{path} has no safetensors weights",
            expected=f"{WEIGHTS}, or several files with {INDEX}",
            fix="convert the checkpoint to safetensors; pickled weights are never loaded",
        )
    files = [path / name for name in sorted(set(_weight_map(path).values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise InputError(
            f"the weights in {path} are incomplete",
            got=f"missing: {', '.join(missing)}" if missing else f"an empty {INDEX}",
            expected=f"every file that {INDEX} lists",
            fix="download the base model again",
        )
    return files


def _dense_file(folder: Path) -> Path:
    if not (folder / DENSE_WEIGHTS).is_file():
        raise InputError(
            f"the Dense module in {folder} has no safetensors weights",
            expected=DENSE_WEIGHTS,
            fix="convert the checkpoint to safetensors; pickled weights are never loaded",
        )
    return folder / DENSE_WEIGHTS


def _weight_map(path: Path) -> dict[str, str]:
    try:
        index: dict[str, str] = json.loads((path / INDEX).read_bytes())["weight_map"]
        return {str(name): Path(file).name for name, file in index.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path / INDEX} is damaged", got=repr(error), fix="download the base model again"
        ) from error
