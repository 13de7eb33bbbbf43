"""What each stage of a run, and encode, gets: its part of the configuration, and the data it works on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import JsonValue

from components.parameters import NEVER, Form, address, eval_set_lines, run_config
from components.readiness import find_champion, require_good_end, secrets_named
from embedtune.core.comparisons import Comparisons, parse_eval_sets
from embedtune.core.config.config import Config
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ConfigError, InputError
from embedtune.core.secrets import Secrets, secrets_of
from embedtune.core.stage import Context
from embedtune.core.storage import download_prefix, list_prefix

KEEPING = {"generate", "train"}  # the tasks that read storage.kept
IN_CLUSTER = "KUBERNETES_SERVICE_HOST"  # Kubernetes sets it in every pod
# The sections that can change what a stage writes, including those of the stages before it. mine and train check
# each other's number of negatives, so each gets both sections.
SECTIONS: dict[str, tuple[str, ...]] = {
    "ingest": ("ingest",),
    "encode": (),  # no stage: it reads nothing but how texts become vectors
    "generate": ("ingest", "generate"),
    "split": ("ingest", "generate", "split"),
    "mine": ("ingest", "generate", "split", "mine", "train"),
    "train": ("ingest", "generate", "split", "mine", "train"),
    "evaluate": ("ingest", "generate", "split", "mine", "train", "evaluate"),
    "export": ("ingest", "generate", "split", "mine", "train", "export"),
    "deploy": ("ingest", "generate", "split", "mine", "train", "evaluate", "export", "serve", "release", "deploy"),
}


def prepared(
    form: Form, documents: str, eval_sets: Sequence[JsonValue], champion: str, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the outputs of the component prepare, in its order.

    Args:
        form: The fields that become settings.
        documents: Address of the documents, as typed.
        eval_sets: Additional evaluation sets, as typed.
        champion: Address of the model to compare with, as typed; empty: the one that is live in the release
            store.
        environment: The environment variables, usually `os.environ`.

    Raises:
        ConfigError: A field is not valid.
        InputError: There is nothing at an address.
        EmbedtuneError: The LLM endpoint does not answer, or the release store cannot be written to.
    """
    config = run_config(form, in_cluster=IN_CLUSTER in environment)
    secrets = secrets_of(config.generate, environment)
    where, typed = address("documents", documents), address("champion", champion)
    sets = eval_set_lines(eval_sets)
    accepted = worst_deployed(config, form.deploy_if, environment)
    deploys = accepted != NEVER
    with secrets_named(secrets, environment):
        documents_version = version([where], config.storage, secrets)
        require_good_end(config, secrets, where, deploys=deploys)
        live = find_champion(config, secrets, typed, deploys=deploys)
        compared = [*addresses(sets).values(), *([live] if live else [])]
        comparisons_version = version(compared, config.storage, secrets)
        config = with_pairs_versions(config, secrets)
    return (
        where,
        documents_version,
        sets,
        live,
        comparisons_version,
        accepted,
        *(stage_yaml(config, stage) for stage in SECTIONS),
    )


def stage_yaml(config: Config, stage: str) -> str:
    """Return what one stage needs, so that KFP's cache stays valid when other settings change.

    Defaults are left out: the UI shows the text among the inputs of every task, and the image decides on defaults.
    """
    sections = {"seed", "contract", "base", "storage", "runtime", *SECTIONS[stage]}
    settings = config.model_dump(include=sections, exclude_defaults=True)
    if stage not in KEEPING and settings.get("storage", {}).pop("kept", None) and not settings["storage"]:
        del settings["storage"]
    return yaml.safe_dump(settings, allow_unicode=True, sort_keys=True)


def worst_deployed(config: Config, deploy_if: str, environment: Mapping[str, str]) -> str:
    """Return the worst verdict that is still deployed, or "never", also if no release store is configured.

    Args:
        config: The configuration.
        deploy_if: The field of the form; only "never" says more than the configuration.
        environment: The environment variables, usually `os.environ`; they show whether this is a pod.

    Raises:
        ConfigError: A pod would start a local Triton, which would end with the pod.
    """
    if config.release.uri is None or deploy_if == NEVER:
        return NEVER
    if config.deploy.target == "local" and IN_CLUSTER in environment:
        raise ConfigError(
            "a pipeline that runs in a cluster can deploy only to a cluster",
            got="deploy.target=local",
            expected="deploy.target=kubernetes",
            fix="leave deploy.target out of the overrides",
        )
    return config.deploy.accept


def with_pairs_versions(config: Config, secrets: Secrets) -> Config:
    """Return the configuration with the version of each source of split.human_pairs in an object store.

    Args:
        config: The configuration.
        secrets: Credentials of the object store.

    Raises:
        InputError: There is nothing at a place.
    """
    pairs = tuple(
        one.model_copy(update={"version": version([one.place], config.storage, secrets)})
        if one.place.startswith("s3://")
        else one
        for one in config.split.human_pairs
    )
    return config.model_copy(update={"split": config.split.model_copy(update={"human_pairs": pairs})})


def addresses(eval_sets: str) -> dict[str, str]:
    """Return the address of each evaluation set by its name, from `NAME=ADDRESS` pairs, one per line.

    Raises:
        ConfigError: A line is not such a pair, or a name is used twice or reserved.
    """
    lines = (line.strip() for line in eval_sets.splitlines())
    return parse_eval_sets(filter(None, lines), expected="NAME=s3://bucket/prefix")


def version(where: list[str], storage: StorageSettings, secrets: Secrets) -> str:
    """Return a hash that changes when the data at these addresses does, from listings alone.

    Args:
        where: Directories and s3://bucket/prefix addresses; their order matters.
        storage: The object store for s3:// addresses.
        secrets: Its credentials.

    Raises:
        InputError: There is nothing at an address.
    """
    listings = [_listing(address, storage, secrets) for address in where]
    return hashlib.sha256(json.dumps(listings).encode()).hexdigest()[:16]


def _listing(address: str, storage: StorageSettings, secrets: Secrets) -> list[tuple[str, int, str]]:
    """Return the name, size and version of each file; the version of a local file is its modification time."""
    if address.startswith("s3://"):
        return [(item.name, item.size, item.etag) for item in list_prefix(address, storage, secrets)]
    folder = Path(address)
    files = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    if not files:
        raise InputError("there are no files in this folder", got=address, fix="check it, or use an s3:// address")
    return [(path.relative_to(folder).as_posix(), stat.st_size, str(stat.st_mtime_ns)) for path, stat in files]


def comparisons(eval_sets: str, champion: str, context: Context) -> Comparisons:
    """Download the evaluation sets and the champion for the comparison.

    Args:
        eval_sets: `NAME=ADDRESS`, one per line; an address is a directory or s3://bucket/prefix.
        champion: Address of the model to compare with, or empty.
        context: The object store, its credentials, and the directory for downloads.
    """
    sets = {name: _local(address, context) for name, address in addresses(eval_sets).items()}
    return Comparisons(sets, _local(champion, context) if champion else None)


def _local(address: str, context: Context) -> Path:
    if not address.startswith("s3://"):
        return Path(address)
    return download_prefix(address, context.cache / "inputs", context.config.storage, context.secrets)
