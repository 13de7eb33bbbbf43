"""The safetensors weights of a model directory: one file, or several that an index lists."""

import hashlib
import json
from pathlib import Path

from embedtune.core.artifacts import file_sha256
from embedtune.core.errors import InputError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def weight_files(path: Path) -> list[Path]:
    """Return the weight files of a model directory, sorted by name.

    Raises:
        InputError: There are none, or one that the index lists is missing.
    """
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


def weights_sha256(path: Path) -> str:
    """Return the hash of a model's weights: of the one file, or over the set.

    Over a set it is what `sha256sum model-*.safetensors | sha256sum` prints.

    Raises:
        InputError: The weights are missing or incomplete.
    """
    files = weight_files(path)
    if [file.name for file in files] == [WEIGHTS]:
        return file_sha256(files[0])
    lines = "".join(f"{file_sha256(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def tensor_names(path: Path) -> set[str]:
    """Return the names of all tensors in a model's weights.

    Raises:
        InputError: The weights are missing, incomplete or damaged.
    """
    from safetensors import SafetensorError, safe_open

    names: set[str] = set()
    for file in weight_files(path):
        try:
            with safe_open(file, framework="numpy") as tensors:
                names.update(tensors.keys())
        except SafetensorError as error:
            raise InputError(f"{file} is damaged", got=str(error), fix="download the base model again") from error
    return names


def _weight_map(path: Path) -> dict[str, str]:
    try:
        index: dict[str, str] = json.loads((path / INDEX).read_bytes())["weight_map"]
        return {str(name): Path(file).name for name, file in index.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path / INDEX} is damaged", got=repr(error), fix="download the base model again"
        ) from error
