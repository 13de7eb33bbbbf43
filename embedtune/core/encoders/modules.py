"""The modules of a sentence-transformers directory: modules.json and the folders that it names."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedtune.core.errors import InputError

LIBRARY = "sentence_transformers."
MODULES = "modules.json"
DENSE_WEIGHTS = "model.safetensors"  # the library writes a Dense module's weights into one file
# Activations without settings of their own, which PyTorch, ONNX and TensorRT compute alike. The names are those
# that sentence-transformers writes; any other name it would replace by Tanh.
ACTIVATIONS = frozenset(
    {"torch.nn.modules.linear.Identity"}
    | {f"torch.nn.modules.activation.{name}" for name in ("GELU", "ReLU", "Sigmoid", "SiLU", "Tanh")}
)
VECTOR = "sentence_embedding"  # the pooled vector's name among the features
DENSE_OPTIONS = frozenset(
    {"in_features", "out_features", "bias", "activation_function", "module_input_name", "module_output_name"}
    | {"use_residual"}
)


@dataclass(frozen=True)
class Module:
    """One entry of modules.json.

    Args:
        kind: Class name of a module of the library; the whole dotted name of any other.
        folder: Its directory; the model's own for a transformer in the current layout.
    """

    kind: str
    folder: Path


def read_modules(path: Path) -> list[Module]:
    """Return the modules of a model directory in their order; none for a plain transformers directory.

    Raises:
        InputError: modules.json is damaged.
    """
    file = path / MODULES
    entries = _read(file) if file.is_file() else []
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [Module(_kind(str(entry.get("type", ""))), path / str(entry.get("path", ""))) for entry in found]


def dense_folders(path: Path) -> list[Path]:
    """Return the directories of a model's Dense modules, in their order.

    Raises:
        InputError: modules.json is damaged.
    """
    return [module.folder for module in read_modules(path) if module.kind == "Dense"]


def read_json(path: Path) -> dict[str, Any]:  # transformers' and sentence-transformers' own formats
    """Return the content of a JSON file; an empty dictionary if there is no such file, or no mapping in it.

    Raises:
        InputError: The file is damaged.
    """
    data = _read(path) if path.is_file() else {}
    return data if isinstance(data, dict) else {}


def unsupported_modules(path: Path, modules: list[Module]) -> list[str]:
    """Return the names of the modules that embedtune cannot honour.

    The order is part of what a model computes. Honoured: Transformer, Pooling, any number of Dense, Normalize.

    Args:
        path: Directory of the model.
        modules: Its modules.
    """
    order = ("Transformer", "Pooling", "Dense", "Normalize")
    found, reached = [], 0
    for module in modules:
        place = order.index(module.kind) if module.kind in order else None
        if place is None or (module.kind == "Transformer" and module.folder != path):
            found.append(_named(module))
        elif place < reached or (place == reached and module.kind != "Dense" and reached):
            found.append(f"{_named(module)} after {order[reached]}")
        else:
            reached = place
        if module.kind == "Dense":
            found += [f"{_named(module)} with {what}" for what in _unsupported_options(module.folder)]
    return found


def _unsupported_options(folder: Path) -> list[str]:
    config = read_json(folder / "config.json")
    found = []
    if config.get("activation_function") not in {None, *ACTIVATIONS}:
        found.append(f"activation_function {config['activation_function']}")
    for name in ("module_input_name", "module_output_name"):
        if config.get(name) not in {None, VECTOR}:
            found.append(f"{name} {config[name]}")
    return found + [f"the option {name}" for name in sorted(config.keys() - DENSE_OPTIONS)]


def _kind(name: str) -> str:
    return name.rpartition(".")[2] if name.startswith(LIBRARY) else name


def _named(module: Module) -> str:
    return f"{module.kind} ({module.folder.name})"


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(
            f"{path} is damaged", got=str(error), expected="JSON", fix="download the base model again"
        ) from error
