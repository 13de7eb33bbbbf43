"""Finds the base model: a hub id with its revision, a local directory, an s3:// prefix, or a Python package."""

import importlib.util
import logging
from pathlib import Path

from embedtune.core.artifacts import file_sha256
from embedtune.core.config.machine import StorageSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import ContractError, InputError
from embedtune.core.secrets import Secrets

log = logging.getLogger(__name__)
WEIGHTS = "model.safetensors"


def resolve_base(contract: EncoderContract, cache: Path, storage: StorageSettings, secrets: Secrets) -> Path:
    """Return a local directory with the base model of a contract, its weights verified.

    Args:
        contract: Names the base model.
        cache: Directory for downloads.
        storage: Object store for s3:// addresses.
        secrets: Its credentials.

    Raises:
        InputError: The model does not exist, cannot be downloaded, or has no safetensors weights.
        ContractError: The weights are not those of the contract, or its revision is not pinned.
    """
    path = _locate(contract, cache, storage, secrets)
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise InputError(
            f"{path} has no safetensors weights",
            expected=WEIGHTS,
            fix="convert the checkpoint to safetensors; pickled weights are never loaded",
        )
    if contract.weights_sha256 is not None:
        got = file_sha256(path / WEIGHTS)
        if got != contract.weights_sha256:
            raise ContractError(
                f"{path / WEIGHTS} does not contain the contract's model",
                got=got,
                expected=contract.weights_sha256,
                fix="use the right model; change contract.weights_sha256 only if you want a different one",
            )
    return path


def _locate(contract: EncoderContract, cache: Path, storage: StorageSettings, secrets: Secrets) -> Path:
    name = contract.base_model
    if name.startswith("package:"):
        return _package_model(name.removeprefix("package:"))
    if name.startswith("s3://"):
        from embedtune.core.storage import download_prefix

        return download_prefix(name, cache / "base", storage, secrets)
    if Path(name).is_dir():
        return Path(name)
    if name.startswith(("/", "./", "../", "~")):
        raise InputError("the model directory does not exist", got=name, fix="check contract.base_model")
    return _hub_model(contract, cache)


def _package_model(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "the package with the base model is not installed",
            got=name,
            fix=f"pip install {name.replace('_', '-')}",
        )
    path = Path(spec.submodule_search_locations[0]) / "model"
    if not path.is_dir():
        raise InputError("the package contains no model", got=name, expected=str(path))
    return path


def _hub_model(contract: EncoderContract, cache: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if contract.revision is None:
        raise ContractError(
            "the base model's revision is not pinned",
            got=contract.base_model,
            expected="contract.revision=<commit of the hub repository>",
            fix="pin the commit that you reviewed: --set contract.revision=…",
        )
    patterns = ["*.json", "*.txt", "*.model", "*.safetensors", "*.jinja", "*/config.json"]
    patterns += ["*.py"] if contract.trust_remote_code else []
    try:
        return Path(snapshot_download(contract.base_model, revision=contract.revision, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise InputError(
            "the base model cannot be downloaded",
            got=f"{contract.base_model}@{contract.revision}: {error}",
            expected="a hub id that this machine may read, a local directory, an s3:// or a package: address",
            fix="check the name, the revision, the network and the access token (HF_TOKEN)",
        ) from error
