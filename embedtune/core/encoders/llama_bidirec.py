"""Llama-Nemotron-Embed's checkpoints without their Python code: a plain Llama that attends in both directions.

Their type `llama_bidirec` is Llama without the causal mask. transformers 5.2 and later do the same for a
`LlamaModel` whose configuration says `is_causal: false`, so only config.json has to change; the weights stay as
they are.
"""

import hashlib
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from embedtune.core.encoders.model_files import LLAMA_BIDIREC
from embedtune.core.encoders.weights import tensor_names
from embedtune.core.errors import ContractError

log = logging.getLogger(__name__)
CONFIG = "config.json"
OWN_KEYS = ("auto_map", "pooling", "_name_or_path")  # only the checkpoint's own code reads them
PREFIX = "model."  # of weights saved from a model with a head; transformers removes it on loading


def native(path: Path, cache: Path) -> Path:
    """Return a directory that transformers loads without remote code: `path` itself unless it is `llama_bidirec`.

    Args:
        path: Directory of a base model.
        cache: Directory for the converted one, which links to the files of the original.

    Raises:
        ContractError: The weights are not those of a Llama.
    """
    file = path / CONFIG
    config = json.loads(file.read_bytes()) if file.is_file() else {}
    if config.get("model_type") != LLAMA_BIDIREC:
        return path
    converted = native_config(config)
    _require_names(path, converted)
    target = cache / "native" / _key(path, converted)
    if not target.is_dir():
        _link(path, target, converted)
        log.info("%s is loaded as a LlamaModel with is_causal: false, without its Python code", path)
    return target


def native_config(config: dict[str, Any]) -> dict[str, Any]:  # transformers' own format
    """Return the configuration of the same model as a bidirectional `LlamaModel`."""
    from transformers import GenerationConfig, LlamaConfig

    # One of them is `temperature`, for which transformers refuses to save the model: it reads it as a sampling
    # parameter. Embedding models do not sample.
    sampling = set(GenerationConfig().to_dict())  # type: ignore[no-untyped-call]
    sampling -= set(LlamaConfig().to_dict())
    kept = {key: value for key, value in config.items() if key not in OWN_KEYS and key not in sampling}
    return kept | {"model_type": "llama", "architectures": ["LlamaModel"], "is_causal": False}


def _require_names(path: Path, config: dict[str, Any]) -> None:
    import torch
    from transformers import LlamaConfig, LlamaModel

    with torch.device("meta"):
        expected = set(LlamaModel(LlamaConfig.from_dict(config)).state_dict())
    names = tensor_names(path)
    if all(name.startswith(PREFIX) for name in names):
        names = {name.removeprefix(PREFIX) for name in names}
    if names != expected:
        missing, unknown = sorted(expected - names), sorted(names - expected)
        raise ContractError(
            f"the weights in {path} are not those of a Llama encoder",
            got=f"{len(missing)} missing {missing[:5]}, {len(unknown)} unknown {unknown[:5]}",
            expected=f"the {len(expected)} tensors of LlamaModel",
            fix="use the checkpoint of an embedding model, not of a reranker or an adapter",
        )


def _key(path: Path, config: dict[str, Any]) -> str:
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(path.iterdir())]
    record = json.dumps([str(path.resolve()), files, config], sort_keys=True)
    return hashlib.sha256(record.encode()).hexdigest()[:16]


def _link(path: Path, target: Path, config: dict[str, Any]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent))
    for item in path.iterdir():
        if item.name != CONFIG and item.suffix != ".py":
            (draft / item.name).symlink_to(item.resolve())
    (draft / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    draft.chmod(0o755)
    try:
        draft.replace(target)
    except OSError:  # another process was faster
        shutil.rmtree(draft)
        if not target.is_dir():
            raise
