"""The run's parameters, read: which configuration each stage gets, and which data it looks at."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from embedtune.core.comparisons import Comparisons, parse_eval_sets
from embedtune.core.config.config import Config
from embedtune.core.config.load import load_config
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ConfigError, InputError
from embedtune.core.secrets import Secrets
from embedtune.core.stage import Context
from embedtune.core.storage import download_prefix, list_prefix

# The sections that can change what a stage writes, its upstream's included. mine and train check each
# other's number of negatives, so each sees both.
SECTIONS: dict[str, tuple[str, ...]] = {
    "ingest": ("ingest",),
    "generate": ("ingest", "generate"),
    "split": ("ingest", "generate", "split"),
    "mine": ("ingest", "generate", "split", "mine", "train"),
    "train": ("ingest", "generate", "split", "mine", "train"),
    "evaluate": ("ingest", "generate", "split", "mine", "train", "evaluate"),
    "export": ("ingest", "generate", "split", "mine", "train", "export"),
    "deploy": ("ingest", "generate", "split", "mine", "train", "evaluate", "export", "serve", "release", "deploy"),
}


def read_config(config: str, overrides: str) -> Config:
    """Read the configuration of a run.

    Args:
        config: Name of a preset, or the whole configuration as YAML text.
        overrides: `section.key=value`, one a line.

    Raises:
        ConfigError: There is no such preset, or the configuration is not valid.
    """
    changes = [line.strip() for line in overrides.splitlines() if line.strip()]
    if ":" not in config:
        return load_config(config.strip(), changes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(config, encoding="utf-8")
        return load_config(str(path), changes)


def stage_yaml(config: Config, stage: str) -> str:
    """Return the configuration as one stage needs it, so that KFP's cache holds while other stages change."""
    sections = {"seed", "contract", "storage", "runtime", *SECTIONS[stage]}
    return yaml.safe_dump(config.model_dump(include=sections), allow_unicode=True, sort_keys=True)


def deploy_if(config: Config, environment: Mapping[str, str]) -> str:
    """Return the worst verdict that is deployed, or "never" where no store of releases is configured.

    Args:
        config: The configuration.
        environment: Usually `os.environ`; tells whether this is a pod.

    Raises:
        ConfigError: A pod would start a Triton that ends with it.
    """
    if config.release.uri is None:
        return "never"
    if config.deploy.target == "local" and "KUBERNETES_SERVICE_HOST" in environment:
        raise ConfigError(
            "a pipeline in a cluster deploys to the cluster",
            got="deploy.target=local",
            expected="deploy.target=kubernetes",
            fix="add it to the overrides, with deploy.namespace and deploy.deployment",
        )
    return config.deploy.accept


def addresses(eval_sets: str) -> dict[str, str]:
    """Return the address of each evaluation set by its name, from `NAME=ADDRESS` pairs, one per line.

    Raises:
        ConfigError: A line is not such a pair, or a name is used twice or reserved.
    """
    lines = (line.strip() for line in eval_sets.splitlines())
    return parse_eval_sets(filter(None, lines), expected="NAME=s3://bucket/prefix")


def version(where: list[str], storage: StorageSettings, secrets: Secrets) -> str:
    """Return a hash that changes when data at these addresses does, from listings alone.

    Args:
        where: Directories and s3://bucket/prefix addresses, in an order that counts.
        storage: The object store of the latter.
        secrets: Its credentials.

    Raises:
        InputError: Nothing is there.
    """
    listings = [_listing(address, storage, secrets) for address in where]
    return hashlib.sha256(json.dumps(listings).encode()).hexdigest()[:16]


def _listing(address: str, storage: StorageSettings, secrets: Secrets) -> list[tuple[str, int, str]]:
    """Return name, size and version of each file; the version of a local one is its time of change."""
    if address.startswith("s3://"):
        return [(item.name, item.size, item.etag) for item in list_prefix(address, storage, secrets)]
    folder = Path(address)
    files = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    if not files:
        raise InputError("there is nothing in this folder", got=address, fix="check the path, or use s3://")
    return [(path.relative_to(folder).as_posix(), stat.st_size, str(stat.st_mtime_ns)) for path, stat in files]


def comparisons(eval_sets: str, champion: str, context: Context) -> Comparisons:
    """Fetch what the tuned model is compared on and with.

    Args:
        eval_sets: `NAME=ADDRESS`, one a line; an address is a directory or s3://bucket/prefix.
        champion: Address of the live model, or empty.
        context: Where and with which credentials to fetch.
    """
    sets = {name: _local(address, context) for name, address in addresses(eval_sets).items()}
    return Comparisons(sets, _local(champion, context) if champion else None)


def _local(address: str, context: Context) -> Path:
    if not address.startswith("s3://"):
        return Path(address)
    return download_prefix(address, context.cache / "inputs", context.config.storage, context.secrets)
