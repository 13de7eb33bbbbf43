"""Tiny checkpoints of each supported architecture, with random weights, as they are published."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from embedtune.core.contract import EncoderContract
from tests.support.public_forms import make_public_form, write_library_files
from tests.support.tiny_model import make_tiny_model, wordpiece_tokenizer

GEMMA_WINDOW = 8  # shorter than the tests' texts, so that its sliding attention counts
DECODER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}


@dataclass(frozen=True)
class Architecture:
    """A kind of base model.

    Args:
        make: Writes a tiny one into a directory.
        contract: What its files say, apart from the base model.
    """

    make: Callable[[Path], object]
    contract: dict[str, Any]

    def base(self, path: Path) -> Path:
        """Write the model and return its directory."""
        self.make(path)
        return path

    def own_contract(self, path: Path) -> EncoderContract:
        """Return the contract of a model that `base` wrote."""
        return EncoderContract.model_validate({"base_model": str(path), "max_length": 64} | self.contract)


def add_dense(path: Path, *sizes: int, activation: str = "Identity", bias: bool = False, seed: int = 1) -> None:
    """Add a random Dense module after the pooling for each step from one size to the next.

    Args:
        path: A directory with the files of `write_library_files`.
        sizes: The transformer's size, then that of each module's output.
        activation: Class name of the activation.
        bias: Whether the modules have one.
        seed: Seed of the random weights.
    """
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense

    torch.manual_seed(seed)
    entries = json.loads((path / "modules.json").read_text())
    place = next(number for number, entry in enumerate(entries) if entry["type"].endswith("Pooling")) + 1
    for step, (inputs, outputs) in enumerate(pairwise(sizes)):
        folder = path / f"{place + step}_Dense"
        folder.mkdir()
        Dense(inputs, outputs, bias=bias, activation_function=getattr(torch.nn, activation)()).save(str(folder))
        kind = "sentence_transformers.models.Dense"
        entries.insert(place + step, {"path": folder.name, "type": kind})
    numbered = [entry | {"idx": place, "name": str(place)} for place, entry in enumerate(entries)]
    (path / "modules.json").write_text(json.dumps(numbered))


def move_into_folder(path: Path) -> None:
    """Give a sentence-transformers directory its oldest layout: the transformer's files in `0_Transformer`."""
    folder = path / "0_Transformer"
    folder.mkdir()
    stay = {"modules.json", "config_sentence_transformers.json"}
    for item in [item for item in path.iterdir() if item.is_file() and item.name not in stay]:
        item.rename(folder / item.name)
    entries = json.loads((path / "modules.json").read_text())
    entries[0]["path"] = folder.name
    (path / "modules.json").write_text(json.dumps(entries))


def _library(path: Path, **files: Any) -> None:
    write_library_files(path, max_seq_length=256, **files)


def _bge(path: Path) -> None:
    make_tiny_model(path)
    _library(path, pooling="cls")


def _multilingual_e5(path: Path) -> None:
    """Positions begin after the padding id, which is 0 here, so of 257 only 256 can be used."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    _save(path, XLMRobertaModel, XLMRobertaConfig, max_position_embeddings=257, num_key_value_heads=None)
    _library(path)


def _qwen3(path: Path) -> None:
    """Causal, with the vector of the last token, which is one that the tokenizer appends; padding on the left."""
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = wordpiece_tokenizer(256, template="$A [SEP]")
    tokenizer.padding_side = "left"
    _save(path, Qwen3Model, Qwen3Config, tokenizer=tokenizer, head_dim=8)
    _library(path, pooling="lasttoken", prompts={"query": QWEN3_QUERY, "document": ""})
    (path / "sentence_bert_config.json").unlink()


def _embedding_gemma(path: Path) -> None:
    from transformers import Gemma3TextConfig, Gemma3TextModel

    layers = ["sliding_attention", "full_attention"]
    _save(
        path,
        Gemma3TextModel,
        Gemma3TextConfig,
        head_dim=8,
        use_bidirectional_attention=True,
        sliding_window=GEMMA_WINDOW,
        layer_types=layers,
    )
    _library(path, prompts={"query": GEMMA_QUERY, "document": GEMMA_PASSAGE})
    add_dense(path, 32, 48, 32)


def _nemotron3(path: Path) -> None:
    from transformers import Ministral3Config, Ministral3Model

    # As Ministral 3 is published: positions beyond the first quarter are interpolated, queries scaled there.
    rope = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 64}
    rope |= {"beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0}
    rope |= {"llama_4_scaling_beta": 0.1}
    _save(path, Ministral3Model, Ministral3Config, head_dim=8, is_causal=False, rope_parameters=rope)
    _library(path, prompts={"query": "query: ", "document": "passage: "})


def _llama_nemotron(path: Path) -> None:
    make_public_form(path, "sentence-transformers")


def _distiluse(path: Path) -> None:
    """The oldest layout, a Dense module that makes the vector smaller, no normalisation."""
    make_tiny_model(path)
    _library(path, modules=("Transformer", "Pooling"))
    add_dense(path, 32, 16, activation="Tanh", bias=True)
    move_into_folder(path)


def _save(path: Path, kind: Any, configuration: Any, tokenizer: Any = None, **settings: Any) -> None:
    import torch

    tokenizer = tokenizer or wordpiece_tokenizer(256)
    torch.manual_seed(0)
    options = DECODER | settings | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    known = {key: value for key, value in options.items() if value is not None}
    kind(configuration(**known)).save_pretrained(path)
    tokenizer.save_pretrained(path)


QWEN3_QUERY = "Instruct: Given a query, retrieve relevant passages\nQuery:"
GEMMA_QUERY, GEMMA_PASSAGE = "task: search result | query: ", "title: none | text: "
NVIDIA = {"query_prefix": "query: ", "passage_prefix": "passage: ", "dimensions": (32,)}
ARCHITECTURES = {
    "bge": Architecture(_bge, {"pooling": "cls", "dimensions": (32,)}),
    "multilingual-e5": Architecture(_multilingual_e5, NVIDIA),
    "qwen3": Architecture(_qwen3, {"pooling": "lasttoken", "query_prefix": QWEN3_QUERY, "dimensions": (32,)}),
    "embeddinggemma": Architecture(
        _embedding_gemma,
        {"query_prefix": GEMMA_QUERY, "passage_prefix": GEMMA_PASSAGE, "dimensions": (32, 16)},
    ),
    "nemotron3": Architecture(_nemotron3, NVIDIA),
    "llama-nemotron": Architecture(_llama_nemotron, NVIDIA),
    "distiluse": Architecture(_distiluse, {"dimensions": (16,)}),
}
