"""Adds the live model to what evaluate compares with."""

import logging
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from embedtune.core.artifacts import read_manifest
from embedtune.core.comparisons import CHAMPION_MODEL, Comparisons
from embedtune.core.errors import ArtifactError
from embedtune.core.stage import Context
from embedtune.core.storage import download_prefix
from embedtune.deploy.champion import live_model
from embedtune.deploy.site import open_store

log = logging.getLogger(__name__)
COPIES = "champion"  # folder of the cache


@dataclass(frozen=True)
class Champion:
    """A model of the release store to compare with.

    Args:
        fingerprint: Of the model artifact.
        address: A directory, or s3://bucket/prefix.
    """

    fingerprint: str
    address: str


def with_live_model(given: Comparisons, model: Path, evaluation: Path, context: Context) -> Comparisons:
    """Return what evaluate compares with, and as the champion the model that is live, unless one was named.

    Args:
        given: What the user named.
        model: The model artifact that is evaluated.
        evaluation: Where its evaluation is, or will be.
        context: The release store, and the cache for a copy.

    Raises:
        ArtifactError: It is not known which release is live.
        InputError: The release store does not answer.
    """
    champion = None if given.champion else champion_of(model, evaluation, context)
    return replace(given, champion=_local(champion, context)) if champion else given


def champion_of(model: Path, evaluation: Path, context: Context) -> Champion | None:
    """Return the model that is live, or None if none is, or the store does not hold it.

    If the model that is evaluated is live itself, its evaluation is kept: what it was better than is the champion.

    Args:
        model: The model artifact that is evaluated.
        evaluation: Where its evaluation is, or will be.
        context: The release store.

    Raises:
        ArtifactError: It is not known which release is live.
        InputError: The release store does not answer.
    """
    config = context.config
    store = open_store(config.release, config.storage, context.secrets, context.cache.resolve())
    live = live_model(store)
    if live is None:
        return None
    fingerprint, address = read_manifest(model, "model").fingerprint, live.address
    champion: str | None = live.fingerprint
    if live.fingerprint == fingerprint:
        champion = _compared_before(evaluation, fingerprint)
        address = store.model_address(champion) if champion else None
    elif address is None:
        log.warning(
            "the release store does not hold the live model: without --champion, this model is not compared with "
            "it, and deploy would refuse it"
        )
    return Champion(champion, address) if champion and address else None


def _compared_before(evaluation: Path, model: str) -> str | None:
    """Return the fingerprint of the champion that a model was compared with."""
    with suppress(ArtifactError):  # there is no evaluation, or none of this version
        inputs = read_manifest(evaluation, "evaluation").inputs
        return inputs.get(CHAMPION_MODEL) if inputs["model"] == model else None
    return None


def _local(champion: Champion, context: Context) -> Path:
    if not champion.address.startswith("s3://"):
        return Path(champion.address)
    copies, name = context.cache / COPIES, champion.fingerprint[:16]
    for other in copies.glob("*"):
        if other.name != name:  # there is one champion at a time
            shutil.rmtree(other)
    return download_prefix(champion.address, copies / name, context.config.storage, context.secrets)
