"""Tiny checkpoints in each form in which models of the Llama-Nemotron-Embed kind are published."""

import json
from pathlib import Path

from tests.support.tiny_model import make_tiny_llama

FORMS = ("native", "code", "sentence-transformers", "sharded", "with-head")
REMOTE_CODE = "raise AssertionError('code from the model repository was run')\n"


def make_public_form(path: Path, form: str) -> Path:
    """Write a tiny bidirectional Llama as it would be published.

    Args:
        path: Directory to write the model to.
        form: native: `LlamaModel` with `is_causal: false`. code: type `llama_bidirec` with Python code.
            sentence-transformers: the same with modules.json, pooling, prompts and maximum length. sharded: as
            code, with the weights in several files. with-head: as code, with names as `LlamaForX` has them.
    """
    make_tiny_llama(path)
    if form == "native":
        return path
    _edit(
        path / "config.json", is_causal=None, model_type="llama_bidirec", architectures=["LlamaBidirectionalModel"]
    )
    code = "llama_bidirectional_model.LlamaBidirectional"
    _edit(path / "config.json", auto_map={"AutoConfig": f"{code}Config", "AutoModel": f"{code}Model"})
    _edit(path / "config.json", pooling="avg", temperature=0.02)
    (path / "llama_bidirectional_model.py").write_text(REMOTE_CODE)
    if form == "sentence-transformers":
        write_library_files(path, prompts={"query": "query: ", "document": "passage: "}, max_seq_length=128)
    if form == "sharded":
        shard(path)
    if form == "with-head":
        _rename(path / "model.safetensors")
    return path


def write_library_files(
    path: Path,
    *,
    pooling: str = "mean",
    prompts: dict[str, str] | None = None,
    similarity: str | None = "cosine",
    max_seq_length: int = 64,
    modules: tuple[str, ...] = ("Transformer", "Pooling", "Normalize"),
) -> None:
    """Write the files of sentence-transformers into a model directory, in their older layout."""
    names = [("" if kind == "Transformer" else f"{place}_{kind}") for place, kind in enumerate(modules)]
    kinds = [kind if "." in kind else f"sentence_transformers.models.{kind}" for kind in modules]
    entries = [
        {"idx": place, "name": str(place), "path": name, "type": kind}
        for place, (name, kind) in enumerate(zip(names, kinds, strict=True))
    ]
    (path / "modules.json").write_text(json.dumps(entries))
    if "Pooling" in modules:
        folder = path / names[modules.index("Pooling")]
        folder.mkdir()
        flags = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "lasttoken": "lasttoken"}
        flags |= {"mean_sqrt_len_tokens": "mean_sqrt_len_tokens", "weightedmean": "weightedmean_tokens"}
        chosen = {f"pooling_mode_{flag}": name in pooling.split("+") for name, flag in flags.items()}
        (folder / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **chosen}))
    settings = {"prompts": prompts or {}, "default_prompt_name": None, "similarity_fn_name": similarity}
    (path / "config_sentence_transformers.json").write_text(json.dumps(settings))
    limit = {"max_seq_length": max_seq_length, "do_lower_case": False}
    (path / "sentence_bert_config.json").write_text(json.dumps(limit))


def shard(path: Path) -> None:
    """Split model.safetensors of a model directory into two files with an index."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, members in parts.items():
        save_file({name: tensors[name] for name in members}, path / file, metadata={"format": "pt"})
    places = {name: file for file, members in parts.items() for name in members}
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))


def _rename(file: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = {f"model.{name}": tensor for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})


def _edit(path: Path, **change: object) -> None:
    data = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))
