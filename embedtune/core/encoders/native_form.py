"""Checkpoints in a form that transformers and sentence-transformers load as they are, without remote code.

Three things are rewritten, by links to the original files next to a small JSON file; the weights stay as they are.

- The layout of very old sentence-transformers models, whose transformer is in a folder `0_Transformer`: its files
  come into the model's own directory.
- NVIDIA's types of decoders without the causal mask, `llama_bidirec` (Llama-Nemotron-Embed) and
  `ministral3_bidirec`: transformers 5.2 and later do the same for a `LlamaModel` or a `Ministral3Model` whose
  configuration says `is_causal: false`.
- A decoder that is causal and pooled by the mean, if `base.force` allows it: its configuration says so.
"""

import hashlib
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from embedtune.core.encoders.modules import MODULES, read_json, read_modules
from embedtune.core.encoders.weights import tensor_names
from embedtune.core.errors import ContractError

log = logging.getLogger(__name__)
CONFIG = "config.json"
OWN_KEYS = ("auto_map", "pooling", "_name_or_path")  # only the checkpoint's own code reads them
PREFIX = "model."  # of weights saved from a model with a head; transformers removes it on loading
NATIVE_TYPES = {"llama_bidirec": ("llama", "LlamaModel"), "ministral3_bidirec": ("ministral3", "Ministral3Model")}


def flat(path: Path, cache: Path) -> Path:
    """Return a directory with the transformer's files in it: `path` itself unless it has the old layout.

    Args:
        path: Directory of a base model.
        cache: Directory for the rewritten one, which links to the files of the original.
    """
    folders = [module.folder for module in read_modules(path) if module.kind == "Transformer"]
    if len(folders) != 1 or folders[0] == path or not folders[0].is_dir():
        return path
    entries = json.loads((path / MODULES).read_bytes())
    for entry in entries:
        if path / str(entry.get("path", "")) == folders[0]:
            entry["path"] = ""
    links = {item.name: item for item in path.iterdir() if item not in {folders[0], path / MODULES}}
    links |= {item.name: item for item in folders[0].iterdir()}
    return _linked(cache, path, links, {MODULES: entries})


def native(path: Path, cache: Path) -> Path:
    """Return a directory that transformers loads without remote code: `path` itself unless it has NVIDIA's types.

    Args:
        path: Directory of a base model.
        cache: Directory for the converted one, which links to the files of the original.

    Raises:
        ContractError: The weights are not those of such a model.
    """
    config = read_json(path / CONFIG)
    if config.get("model_type") not in NATIVE_TYPES:
        return path
    converted = native_config(config)
    _require_names(path, converted)
    links = {item.name: item for item in path.iterdir() if item.name != CONFIG and item.suffix != ".py"}
    target = _linked(cache, path, links, {CONFIG: converted})
    kind = NATIVE_TYPES[config["model_type"]][1]
    log.info("%s is loaded as a %s with is_causal: false, without its Python code", path, kind)
    return target


def declared_causal(path: Path, cache: Path) -> Path:
    """Return the same model with a configuration that says `is_causal: true`, unless it says something itself."""
    config = read_json(path / CONFIG)
    if config.get("is_causal") is not None:
        return path
    links = {item.name: item for item in path.iterdir() if item.name != CONFIG}
    return _linked(cache, path, links, {CONFIG: config | {"is_causal": True}})


def native_config(config: dict[str, Any]) -> dict[str, Any]:  # transformers' own format
    """Return the configuration of the same model as a native one without the causal mask."""
    from transformers import CONFIG_MAPPING, GenerationConfig

    kind, architecture = NATIVE_TYPES[config["model_type"]]
    # One of them is `temperature`, for which transformers refuses to save the model: it reads it as a sampling
    # parameter. Embedding models do not sample.
    sampling = set(GenerationConfig().to_dict())  # type: ignore[no-untyped-call]
    sampling -= set(CONFIG_MAPPING[kind]().to_dict())
    kept = {key: value for key, value in config.items() if key not in OWN_KEYS and key not in sampling}
    return kept | {"model_type": kind, "architectures": [architecture], "is_causal": False}


def _require_names(path: Path, config: dict[str, Any]) -> None:
    import torch
    from transformers import CONFIG_MAPPING, AutoModel

    with torch.device("meta"):
        own = CONFIG_MAPPING[config["model_type"]].from_dict(config)
        model = AutoModel.from_config(own)  # type: ignore[no-untyped-call]
    expected = set(model.state_dict())
    names = tensor_names(path)
    if all(name.startswith(PREFIX) for name in names):
        names = {name.removeprefix(PREFIX) for name in names}
    if names != expected:
        missing, unknown = sorted(expected - names), sorted(names - expected)
        raise ContractError(
            f"the weights in {path} are not those of a {config['architectures'][0]}",
            got=f"{len(missing)} missing {missing[:5]}, {len(unknown)} unknown {unknown[:5]}",
            expected=f"its {len(expected)} tensors",
            fix="use the checkpoint of an embedding model, not of a reranker or an adapter",
        )


def _linked(cache: Path, path: Path, links: dict[str, Path], written: dict[str, object]) -> Path:
    """Make a directory of links and JSON files, once for each state of the original."""
    target = cache / "native" / _key(path, links, written)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent))
    for name, item in links.items():
        (draft / name).symlink_to(item.resolve())
    for name, content in written.items():
        (draft / name).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    draft.chmod(0o755)
    try:
        draft.replace(target)
    except OSError:  # another process was faster
        shutil.rmtree(draft)
        if not target.is_dir():
            raise
    return target


def _key(path: Path, links: dict[str, Path], written: dict[str, object]) -> str:
    states = [(name, item.stat().st_size, item.stat().st_mtime_ns) for name, item in sorted(links.items())]
    record = json.dumps([str(path.resolve()), states, written], sort_keys=True)
    return hashlib.sha256(record.encode()).hexdigest()[:16]
