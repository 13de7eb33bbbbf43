"""A configuration for any base model: a preset whose contract is written from the model's own files."""

import json
import re
import tempfile
from pathlib import Path
from typing import get_args

import yaml
from pydantic import JsonValue

from embedtune.core.config.base import BaseSettings
from embedtune.core.config.load import base_names, parse_config, preset_text
from embedtune.core.config.machine import StorageSettings
from embedtune.core.contract import EncoderContract, Pooling
from embedtune.core.encoders.base_model import locate_base
from embedtune.core.encoders.model_files import ModelFacts, read_facts, require_own_contract, require_supported
from embedtune.core.encoders.native_form import flat
from embedtune.core.encoders.weights import weights_sha256
from embedtune.core.errors import ConfigError, ContractError
from embedtune.core.secrets import Secrets

LONGEST = 32768  # what a contract allows
UNSAID = "the model's files do not say: check its card"


def config_text(preset: str, base: str, revision: str | None, secrets: Secrets) -> str:
    """Return the YAML of a configuration for a base model.

    Args:
        preset: The preset that all other settings come from.
        base: The name of a base model that comes with a contract, a hub id, a local directory, s3://bucket/prefix
            or package:NAME.
        revision: Commit of the hub repository.
        secrets: Credentials of the object store.

    Raises:
        InputError: The model cannot be found.
        ContractError: It does what embedtune cannot do, or the commit of a hub repository is missing.
    """
    if base in base_names():
        return _with_known_base(preset, base, revision)
    with tempfile.TemporaryDirectory() as cache:
        # The rest of this contract plays no part in finding the model.
        where = EncoderContract(base_model=base, revision=revision, dimensions=(1,))
        path = flat(locate_base(where, Path(cache), StorageSettings(), secrets, weights=False), Path(cache))
        facts = read_facts(path)
        require_supported(path, facts)
        pooling = _pooling(path, facts)
        fields: dict[str, JsonValue] = {"base_model": base, "revision": revision}
        fields["weights_sha256"] = None if revision else weights_sha256(path)
        fields |= {"query_prefix": facts.query_prefix or "", "passage_prefix": facts.passage_prefix or ""}
        fields |= {
            "pooling": pooling,
            "max_length": _max_length(path, facts),
            "dimensions": [_dimension(path, facts)],
        }
        contract = EncoderContract.model_validate(fields)
        require_own_contract(path, contract, BaseSettings().force)
    text = _with_contract(preset, base, contract, _lines(fields, facts))
    parse_config(yaml.safe_load(text))
    return text


def _with_known_base(preset: str, base: str, revision: str | None) -> str:
    text = preset_text(f"{preset}+{base}")
    if revision is not None:
        text, pinned = re.subn(r"^  revision: null.*$", f"  revision: {revision}", text, flags=re.MULTILINE)
        if not pinned:
            raise ConfigError(f"{base} is not loaded from a hub", got=f"--revision {revision}", fix="leave it out")
    return _headed(preset, base, text)


def _pooling(path: Path, facts: ModelFacts) -> str:
    if facts.pooling is not None and facts.pooling not in get_args(Pooling):
        raise ContractError(
            f"embedtune cannot pool as the model in {path} does",
            got=facts.pooling,
            expected=", ".join(get_args(Pooling)),
            fix="use another base model",
        )
    return facts.pooling or "mean"


def _max_length(path: Path, facts: ModelFacts) -> int:
    limits = [facts.max_length, _number(path / "tokenizer_config.json", "model_max_length")]
    limits.append(_number(path / "config.json", "max_position_embeddings"))
    return min((limit for limit in limits if limit), default=512)


def _dimension(path: Path, facts: ModelFacts) -> int:
    if facts.dimension is None:
        raise ContractError(
            f"the files in {path} do not say how long the model's vectors are",
            expected="hidden_size in config.json",
            fix="write the contract by hand: `embedtune init`",
        )
    return facts.dimension


def _number(path: Path, key: str) -> int | None:
    value = json.loads(path.read_bytes()).get(key) if path.is_file() else None
    return min(int(value), LONGEST) if isinstance(value, int | float) and value > 0 else None


def _lines(fields: dict[str, JsonValue], facts: ModelFacts) -> str:
    choice = ", ".join(
        f"{name} {json.dumps(text, ensure_ascii=False)}" for name, text in facts.other_prompts.items()
    )
    prompts = f"the model's files have prompts, choose one: {choice}" if choice else UNSAID
    remarks = {
        "query_prefix": prompts if facts.query_prefix is None else None,
        "passage_prefix": UNSAID if facts.passage_prefix is None else None,
        "pooling": UNSAID if facts.pooling is None else None,
        "max_length": "less is allowed: longer texts are truncated",
    }
    said = {name: json.dumps(value, ensure_ascii=False) for name, value in fields.items() if value is not None}
    return "".join(
        f"  {name}: {value}{f' # {remarks[name]}' if remarks.get(name) else ''}\n" for name, value in said.items()
    )


def _with_contract(preset: str, base: str, contract: EncoderContract, lines: str) -> str:
    text = preset_text(preset)
    made_for = yaml.safe_load(text)["contract"]["max_length"]
    own = f"contract: # from the model's own files\n{lines}"
    text = re.sub(r"^contract:\n(?: +.*\n)*", lambda _: own, text, flags=re.MULTILINE)
    if contract.max_length > made_for:
        # Its chunks are short because its model reads no more; the default is longer, and never more than fits.
        text = re.sub(r"^ingest:\n(?: +.*\n)*\n?", "", text, flags=re.MULTILINE)
    return _headed(preset, base, text)


def _headed(preset: str, base: str, text: str) -> str:
    return _for_a_file(
        f"{base} on your own documents; the other settings are those of the preset `{preset}`.", text
    )


def preset_for_a_file(preset: str) -> str:
    """Return the YAML of a preset, with a heading that says how it is used as a file."""
    return _for_a_file(f"The preset `{preset}` for your own documents.", preset_text(preset))


def _for_a_file(what: str, text: str) -> str:
    header = f"# {what}\n#\n#   embedtune run DOCS --config THIS_FILE --work work\n"
    return header + text[text.index("seed:") :]
