"""The models that releases were made from, which the next model is compared with.

`models/FINGERPRINT.json` publishes a model; its files are in a folder of `data/`, like those of releases. A model
is stored once, however many releases were made from it, and replicas never read it.
"""

import logging
from collections.abc import Collection

from embedtune.core.artifacts import MANIFEST, Artifact, file_sha256
from embedtune.core.errors import ArtifactError
from embedtune.core.records.training import SEEDS_FOLDER
from embedtune.serve.release.record import short
from embedtune.serve.store.lease import LIFE_S
from embedtune.serve.store.objects import ABSENT, Objects, Small
from embedtune.serve.store.records import StoredModel, timestamp
from embedtune.serve.store.uploads import Upload, publish_files, unpublish

log = logging.getLogger(__name__)
FOLDER = "models/"
# A deployment stores the model before it publishes the release: until then nothing refers to the model.
GRACE_S = 3600.0


def model_key(fingerprint: str) -> str:
    """Return the object that publishes a model."""
    return f"{FOLDER}{fingerprint}.json"


def find_model(objects: Objects, fingerprint: str) -> StoredModel | None:
    """Return a stored model, or None if the store does not hold it.

    Args:
        objects: The store.
        fingerprint: That of the model artifact.

    Raises:
        ArtifactError: Its record is damaged, of another version, or that of another model.
    """
    found = objects.read(model_key(fingerprint))
    if found is None:
        return None
    return _parse(found, fingerprint)


def stored_models(objects: Objects, start: str) -> list[StoredModel]:
    """Return the stored models whose fingerprint begins with `start`.

    Raises:
        ArtifactError: The record of one is damaged or of another version.
    """
    names = [_fingerprint(key) for key in objects.keys(FOLDER)]
    found = (find_model(objects, name) for name in names if name.startswith(start))
    return [stored for stored in found if stored]


def add_model(objects: Objects, model: Artifact, life_s: float = LIFE_S) -> None:
    """Store a model, unless the store holds it.

    Args:
        objects: The store.
        model: The model artifact. The models of its further training seeds are left out: none of them is served.
        life_s: Seconds without a sign of life after which an upload is presumed dead.

    Raises:
        ArtifactError: A file was changed before or during its upload.
        InputError: The store refuses or does not answer.
    """
    key, condition = model_key(model.fingerprint), ABSENT
    if there := objects.read(key):
        condition = there.etag
        try:
            stored = _parse(there, model.fingerprint)
        except ArtifactError as error:
            log.warning("storing model %s again: %s", short(model.fingerprint), error.what)
        else:
            # Written again, its record is new for those who delete what nothing refers to.
            objects.write(key, stored, condition)
            return
    hashes = {
        path: entry.sha256
        for path, entry in model.manifest.files.items()
        if not path.startswith(f"{SEEDS_FOLDER}/")
    }
    hashes[MANIFEST] = file_sha256(model.path / MANIFEST)
    upload = Upload(key, model.fingerprint, model.path, hashes)

    def record(data: str) -> StoredModel:
        return StoredModel(
            stored=timestamp(), data=data, size=upload.size, model=model.fingerprint, files=tuple(sorted(hashes))
        )

    publish_files(objects, upload, record, condition, life_s)
    log.info("stored model %s, %.0f MB", short(model.fingerprint), upload.size / 1e6)


def delete_unused(objects: Objects, used: Collection[str], life_s: float = LIFE_S) -> list[str]:
    """Delete the models that no release was made from, except the newest, and return their fingerprints.

    Args:
        objects: The store.
        used: Fingerprints of the models of all published releases.
        life_s: Seconds without a sign of life after which a deletion is presumed dead.
    """
    gone = []
    for key in objects.keys(FOLDER):
        fingerprint = _fingerprint(key)
        found = None if fingerprint in used else objects.read(key)
        if found is None or found.age_s < GRACE_S:
            continue
        try:
            stored = found.parse(StoredModel)
        except ArtifactError as error:
            log.warning("a model that is no longer used cannot be deleted: %s", error.what)
            continue
        unpublish(objects, [key], stored.data, stored.files, life_s)
        gone.append(fingerprint)
    return gone


def _parse(found: Small, fingerprint: str) -> StoredModel:
    stored = found.parse(StoredModel)
    if stored.model != fingerprint:
        raise ArtifactError(
            f"{found.address} is the record of another model", got=stored.model, expected=fingerprint
        )
    return stored


def _fingerprint(key: str) -> str:
    return key.removeprefix(FOLDER).removesuffix(".json")
