"""What a base model's own files say about its contract: modules.json and the files that it names."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from embedtune.core.contract import EncoderContract, Pooling
from embedtune.core.encoders.modules import Module, read_json, read_modules, unsupported_modules
from embedtune.core.encoders.native_form import NATIVE_TYPES
from embedtune.core.errors import ContractError

POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
BIDIREC_POOLING = {"avg": "mean", "cls": "cls", "last": "lasttoken"}
SETTINGS = "config_sentence_transformers.json"
PASSAGE_PROMPTS = ("document", "passage", "corpus")
UNIT_DOT = "dot"  # of vectors at unit length; it ranks as the cosine and the Euclidean distance do
NO_LIMIT = 10**6  # tokenizers without a limit have a number with thirty digits


@dataclass(frozen=True)
class ModelFacts:
    """What the files of a model say; None: nothing.

    Args:
        pooling: Mode of the Pooling module; several modes are joined by "+".
        max_length: Longest text in tokens.
        query_prefix: Prompt for queries.
        passage_prefix: Prompt for passages.
        similarity: "dot" if unit vectors rank as the model's own do, otherwise a description.
        dimension: Size of a vector.
        unsupported: Modules and options that embedtune cannot honour.
        other_prompts: Prompts under names that do not say whether they are for queries or passages.
    """

    pooling: str | None = None
    max_length: int | None = None
    query_prefix: str | None = None
    passage_prefix: str | None = None
    similarity: str | None = None
    dimension: int | None = None
    unsupported: tuple[str, ...] = field(default=())
    other_prompts: dict[str, str] = field(default_factory=dict)

    def differences(self, contract: EncoderContract) -> dict[str, tuple[object, object]]:
        """Return the fields of a contract that say something else, each with the contract's value and the model's.

        A shorter maximum length is no difference: it cuts long texts and leaves all other vectors as they are.
        """
        found: dict[str, tuple[object, object]] = {}
        for name in ("pooling", "query_prefix", "passage_prefix", "similarity"):
            configured, own = getattr(contract, name), getattr(self, name)
            if own is not None and configured != own:
                found[name] = (configured, own)
        if self.max_length is not None and contract.max_length > self.max_length:
            found["max_length"] = (contract.max_length, self.max_length)
        return found


def read_facts(path: Path) -> ModelFacts:
    """Read what a model directory says about its contract.

    Args:
        path: A transformers or sentence-transformers directory.

    Raises:
        InputError: One of the files is damaged.
    """
    config = read_json(path / "config.json")
    modules = read_modules(path)
    if not modules:
        own = config.get("pooling") if config.get("model_type") in NATIVE_TYPES else None
        return ModelFacts(
            pooling=BIDIREC_POOLING.get(own, own) if own else None,
            dimension=_hidden(config),
            unsupported=tuple(_classifier(config) + _other_kinds(path)),
        )
    pooling = read_json(next((each.folder for each in modules if each.kind == "Pooling"), path) / "config.json")
    unsupported = unsupported_modules(path, modules) + _other_kinds(path)
    if pooling.get("include_prompt") is False:
        unsupported.append("Pooling without the prompt (include_prompt: false)")
    if _lowers_in_python(path):
        unsupported.append("Transformer with do_lower_case, which its tokenizer does not do")
    queries, passages = _prompts(path)
    return ModelFacts(
        pooling=_pooling_mode(pooling) if any(each.kind == "Pooling" for each in modules) else None,
        max_length=_max_length(path),
        query_prefix=queries,
        passage_prefix=passages,
        similarity=_similarity(path, normalised=any(each.kind == "Normalize" for each in modules)),
        dimension=_dimension(modules, config, pooling),
        unsupported=tuple(unsupported),
        other_prompts=_other_prompts(path) if queries is None else {},
    )


def require_supported(path: Path, facts: ModelFacts) -> None:
    """Check that embedtune can do everything that the model does.

    Raises:
        ContractError: The model has modules that cannot be honoured; the error names them.
    """
    if facts.unsupported:
        raise ContractError(
            f"the base model in {path} has modules that embedtune cannot honour",
            got=", ".join(facts.unsupported),
            expected="Transformer, Pooling, Dense and Normalize, in this order; without the others the vectors "
            "would not be the model's",
            fix="use another base model",
        )


def require_own_contract(path: Path, contract: EncoderContract, force: tuple[str, ...]) -> None:
    """Check that a contract says what the model's own files say.

    Args:
        path: Directory of the base model.
        contract: The configured contract.
        force: Fields that may differ.

    Raises:
        ContractError: It does not, asks for other vectors or more tokens than the model has, or the model has
            modules that cannot be honoured.
    """
    facts = read_facts(path)
    require_supported(path, facts)
    _require_own_words(path, contract, facts, force)
    require_sizes(path, contract, facts.dimension, read_json(path / "config.json").get("max_position_embeddings"))


def _require_own_words(path: Path, contract: EncoderContract, facts: ModelFacts, force: tuple[str, ...]) -> None:
    """Check that no field of a contract says something else than the files do."""
    differing = {name: pair for name, pair in facts.differences(contract).items() if name not in force}
    if not differing:
        return
    follow = [
        f"contract.{name}={json.dumps(own, ensure_ascii=False)}"
        for name, (_, own) in differing.items()
        if name != "similarity" and (name != "pooling" or own in get_args(Pooling))
    ]
    # The rest is what no contract can say.
    known = f"use another base model: only the poolings {', '.join(get_args(Pooling))} and the cosine are known"
    advice = f"set {', '.join(follow)}" if len(follow) == len(differing) else known
    raise ContractError(
        f"the contract differs from the base model's own files in {path}",
        got={f"contract.{name}": configured for name, (configured, _) in differing.items()},
        expected={f"contract.{name}": own for name, (_, own) in differing.items()},
        fix=f"{advice}; or, if the difference is meant, base.force={json.dumps(sorted(differing))}",
    )


def require_sizes(path: Path, contract: EncoderContract, size: int | None, positions: object) -> None:
    """Check that a model has the vectors and reads the lengths that a contract asks for.

    Args:
        path: Directory of the base model.
        contract: The configured contract.
        size: Size of the model's vectors; None: unknown.
        positions: How many tokens the model reads; anything but a positive whole number: unknown.

    Raises:
        ContractError: It does not.
    """
    if size is not None and size != contract.dimensions[0]:
        raise ContractError(
            f"the vectors of {path} do not have the size in the contract",
            got=size,
            expected=f"contract.dimensions starts with {contract.dimensions[0]}",
            fix=f"set contract.dimensions=[{size}]",
        )
    if isinstance(positions, int) and 0 < positions < contract.max_length:
        raise ContractError(
            f"the maximum length in the contract is too long for {path}",
            got=f"contract.max_length {contract.max_length}",
            expected=f"at most {positions} tokens",
            fix=f"set contract.max_length={positions} or less",
        )


def _dimension(modules: list[Module], config: dict[str, Any], pooling: dict[str, Any]) -> int | None:
    """Return the size of the vectors: what the last Dense module makes, else the transformer's."""
    dense = [each.folder for each in modules if each.kind == "Dense"]
    size: int | None = (
        _hidden(config) or pooling.get("embedding_dimension") or pooling.get("word_embedding_dimension")
    )
    if dense:
        size = read_json(dense[-1] / "config.json").get("out_features")
    return size


def _hidden(config: dict[str, Any]) -> int | None:
    size = config.get("hidden_size") or config.get("d_model")  # T5 has its own name for it
    return size if isinstance(size, int) else None


def _pooling_mode(settings: dict[str, Any]) -> str:
    modes = settings.get("pooling_mode") or [mode for flag, mode in POOLING_FLAGS.items() if settings.get(flag)]
    return modes if isinstance(modes, str) else "+".join(modes) or "mean"


def _prompts(path: Path) -> tuple[str | None, str | None]:
    """Return the prompts for queries and passages. Two empty ones are the library's default and say nothing."""
    settings = read_json(path / SETTINGS)
    prompts: dict[str, str] = settings.get("prompts") or {}
    default = prompts.get(settings.get("default_prompt_name") or "")
    queries = prompts.get("query", default)
    passages = next((prompts[name] for name in PASSAGE_PROMPTS if name in prompts), default)
    return (queries, passages) if queries or passages else (None, None)


def _other_prompts(path: Path) -> dict[str, str]:
    prompts = read_json(path / SETTINGS).get("prompts") or {}
    return {name: text for name, text in prompts.items() if name not in ("query", *PASSAGE_PROMPTS) and text}


def _classifier(config: dict[str, Any]) -> list[str]:
    """Return what says that a transformer scores pairs of texts instead of making vectors."""
    architecture = str(next(iter(config.get("architectures") or ()), ""))
    return (
        [f"{architecture}, a classifier such as a reranker"] if "ForSequenceClassification" in architecture else []
    )


def _other_kinds(path: Path) -> list[str]:
    kind = read_json(path / SETTINGS).get("model_type")  # a CrossEncoder or SparseEncoder of the library
    return [] if kind in {None, "SentenceTransformer"} else [f"the library's kind {kind}"]


def _similarity(path: Path, *, normalised: bool) -> str | None:
    """Return "dot" if the dot product of unit vectors ranks as the model's own similarity does."""
    own = read_json(path / SETTINGS).get("similarity_fn_name")
    if own in {None, "cosine"}:
        return None if own is None else UNIT_DOT
    if normalised and own in {"dot", "euclidean"}:
        return UNIT_DOT
    return str(own) if normalised else f"{own} of vectors that are not normalised"


def _max_length(path: Path) -> int | None:
    own = read_json(path / "sentence_bert_config.json").get("max_seq_length")
    # Since version 6 the library keeps the limit in the tokenizer's file.
    own = own or read_json(path / "tokenizer_config.json").get("model_max_length")
    return int(own) if isinstance(own, int | float) and own < NO_LIMIT else None


def _lowers_in_python(path: Path) -> bool:
    if not read_json(path / "sentence_bert_config.json").get("do_lower_case"):
        return False
    normalizer = json.dumps(read_json(path / "tokenizer.json").get("normalizer"))
    if '"Lowercase"' in normalizer or '"lowercase": true' in normalizer:
        return False
    return not read_json(path / "tokenizer_config.json").get("do_lower_case")
