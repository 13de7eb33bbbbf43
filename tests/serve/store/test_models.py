"""Models next to the releases that were made from them: stored once, whole, and deleted with the last of them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedtune.core.artifacts import MANIFEST, Artifact, read_artifact
from embedtune.core.config.machine import StorageSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import ArtifactError
from embedtune.core.secrets import Secrets
from embedtune.serve.store import models, pointer
from embedtune.serve.store.models import find_model, model_key
from embedtune.serve.store.records import Candidate
from embedtune.serve.store.store import ReleaseStore
from tests.support.evaluation_site import model_artifact
from tests.support.object_store import ENDPOINT, SECRETS, STORAGE, a_bucket
from tests.support.releases import make_release

LIFE_S = 1.5


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReleaseStore]:
    if request.param == "directory":
        yield ReleaseStore(str(tmp_path / "store"), StorageSettings(), Secrets(), LIFE_S)
        return
    if ENDPOINT is None:
        pytest.skip("no S3 server: EMBEDTUNE_TEST_S3=host:port is not set")
    with a_bucket() as bucket:
        yield ReleaseStore(f"s3://{bucket.name}/team/releases", STORAGE, SECRETS, LIFE_S)


def model(path: Path, seed: int = 0, others: dict[int, int] | None = None) -> Artifact:
    contract = EncoderContract(base_model="./base", dimensions=(32,))
    return read_artifact(model_artifact(path, contract, seed, others), "model")


def publish(store: ReleaseStore, folder: Path, made_from: Artifact) -> str:
    store.add_model(made_from)
    return store.publish(make_release(folder, {"model.onnx": os.urandom(10)}), made_from.fingerprint).id


def go_live(store: ReleaseStore, name: str) -> None:
    pointer.propose(store.objects, Candidate(id=name, token=name, hold=False))
    pointer.switch(store.objects, name)


def test_a_stored_model_comes_back_byte_for_byte_without_its_further_seeds(
    store: ReleaseStore, tmp_path: Path
) -> None:
    made = model(tmp_path / "model", others={43: 1})
    assert store.model_address(made.fingerprint) is None
    store.add_model(made)
    stored = find_model(store.objects, made.fingerprint)
    assert stored is not None
    assert store.model_address(made.fingerprint) == store.objects.uri + stored.data
    whole = {path for path in made.manifest.files if not path.startswith("seeds/")} | {MANIFEST}
    assert set(stored.files) == whole < {*made.manifest.files, MANIFEST}
    for name in stored.files:
        store.objects.download(stored.data + name, tmp_path / "back" / name)
        assert (tmp_path / "back" / name).read_bytes() == (made.path / name).read_bytes()
    assert stored.size == sum((made.path / name).stat().st_size for name in whole)


def test_a_model_is_stored_once_and_its_record_becomes_new(store: ReleaseStore, tmp_path: Path) -> None:
    made = model(tmp_path / "model")
    store.add_model(made)
    before = store.objects.keys("data/")
    time.sleep(2.2)  # the store's clock counts whole seconds
    store.add_model(made)
    assert store.objects.keys("data/") == before
    found = store.objects.read(model_key(made.fingerprint))
    assert found is not None and found.age_s <= 2


def test_a_model_that_changed_on_disk_is_not_stored(store: ReleaseStore, tmp_path: Path) -> None:
    made = model(tmp_path / "model")
    (made.path / "config.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"was changed before or during its upload(.|\n)*config\.json"):
        store.add_model(made)
    assert store.model_address(made.fingerprint) is None


def test_a_damaged_record_is_an_error_and_storing_the_model_again_repairs_it(
    store: ReleaseStore, tmp_path: Path
) -> None:
    one, two = model(tmp_path / "one"), model(tmp_path / "two", seed=1)
    store.add_model(one)
    other = find_model(store.objects, one.fingerprint)
    assert other is not None
    store.objects.write(model_key(two.fingerprint), other)
    with pytest.raises(ArtifactError, match="record of another model"):
        store.model_address(two.fingerprint)
    store.add_model(two)
    assert store.model_address(two.fingerprint) not in (None, store.model_address(one.fingerprint))


def test_prune_deletes_a_model_with_the_last_of_its_releases(
    store: ReleaseStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, live, unused = (model(tmp_path / name, seed) for seed, name in enumerate(("old", "live", "unused")))
    for number, made in enumerate((old, old, live, live)):
        go_live(store, publish(store, tmp_path / f"release-{number}", made))
    store.add_model(unused)
    store.prune(keep=0)  # the live one and the one before it stay
    assert len(store.releases()) == 2
    # A deployment stores the model first: one that nothing refers to may be on its way.
    assert len(store.objects.keys("models/")) == 3
    monkeypatch.setattr(models, "GRACE_S", 0.0)
    store.prune(keep=0)
    assert store.objects.keys("models/") == [model_key(live.fingerprint)]
    stored = find_model(store.objects, live.fingerprint)
    assert stored is not None
    folders = {key.split("/")[1] for key in store.objects.keys("data/")}
    assert folders == {release.data.split("/")[1] for release in store.releases()} | {stored.data.split("/")[1]}


def test_an_unreadable_release_keeps_every_model(
    store: ReleaseStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "GRACE_S", 0.0)
    made = model(tmp_path / "model")
    name = publish(store, tmp_path / "release", made)
    go_live(store, name)
    store.objects.write(f"releases/{name}.json", store.pointer())
    store.prune(keep=5)
    assert store.model_address(made.fingerprint)


def test_clean_spares_the_files_of_a_stored_model(store: ReleaseStore, tmp_path: Path) -> None:
    made = model(tmp_path / "model")
    store.add_model(made)
    stored = find_model(store.objects, made.fingerprint)
    assert stored is not None
    assert not store._is_unused(stored.data)
    assert store._is_unused("data/0123456789abcdef-01234567/")
