"""The champion: the model that is live, found from the release store, which holds it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.artifacts import MANIFEST, read_manifest
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ConfigError
from embedtune.core.secrets import Secrets
from embedtune.serve.store.objects import S3Objects
from embedtune.serve.store.store import ReleaseStore


@dataclass(frozen=True)
class LiveModel:
    """The model of the live release.

    Args:
        release: Id of the release.
        fingerprint: Of the model artifact.
        address: Where the store holds it: a directory or s3://bucket/prefix; None: it does not.
        releases: Address of the store.
    """

    release: str
    fingerprint: str
    address: str | None
    releases: str


def live_model(store: ReleaseStore) -> LiveModel | None:
    """Return the model that is live, or None if none is.

    Raises:
        ArtifactError: A record is lost or unreadable, so the live model is unknown.
    """
    live = store.live_release()
    return LiveModel(live.id, live.model, store.model_address(live.model), store.objects.uri) if live else None


def require_stored(live: LiveModel, how_to_name: str) -> None:
    """Refuse a run that could not deploy, since it cannot find the model that it has to be better than.

    Args:
        live: The live model.
        how_to_name: How the user names a model instead.

    Raises:
        ConfigError: The store does not hold the live model.
    """
    if live.address is None:
        raise ConfigError(
            "a model is live, but the release store does not hold it: this run could not deploy",
            got=f"model {live.fingerprint[:16]} is live in {live.releases}, deployed by an earlier version of "
            "embedtune",
            expected="a stored model, as every deployment stores it now",
            fix=f"deploy that model again, or name it: {how_to_name}",
        )


def require_live(address: str, live: LiveModel, storage: StorageSettings, secrets: Secrets) -> None:
    """Refuse a run that could not deploy, since the model that was named is not the live one.

    Args:
        address: Directory or s3://bucket/prefix of a model artifact, as it was named.
        live: The live model.
        storage: The object store of an s3:// address.
        secrets: Its credentials.

    Raises:
        ConfigError: It is another model.
        EmbedtuneError: There is no model artifact, or it cannot be read.
    """
    named = _fingerprint_at(address, storage, secrets)
    if named != live.fingerprint:
        raise ConfigError(
            "another model is live than the champion that was named: this run could not deploy",
            got=f"model {named[:16]} at {address}",
            expected=f"model {live.fingerprint[:16]}, which is live in {live.releases}",
            fix="leave champion empty, so that the live model is found",
        )


def _fingerprint_at(address: str, storage: StorageSettings, secrets: Secrets) -> str:
    if not address.startswith("s3://"):
        return read_manifest(address, "model").fingerprint
    with tempfile.TemporaryDirectory() as folder:
        S3Objects(address, storage, secrets).download(MANIFEST, Path(folder) / MANIFEST)
        return read_manifest(folder, "model").fingerprint
