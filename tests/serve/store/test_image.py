"""A release in an image: saved to a directory, mounted, verified, served; nobody can change it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.secrets import Secrets
from embedtune.serve.release.signature import Signing
from embedtune.serve.store.image import save_release
from embedtune.serve.store.pointer import POINTER
from embedtune.serve.store.records import Pointer
from embedtune.serve.store.store import ReleaseStore
from tests.support.releases import key_pair
from tests.support.replicas import FakeReplica, a_replica
from tests.support.serving_world import make_release


def store_at(uri: str, signing: Signing = Signing()) -> ReleaseStore:  # noqa: B008 - it is frozen
    return ReleaseStore(uri, StorageSettings(), Secrets(), signing=signing)


def saved(tmp_path: Path, signing: Signing = Signing()) -> tuple[str, Path]:  # noqa: B008
    """Publish a release, save it, and return its id and the directory."""
    store = store_at(str(tmp_path / "store"), signing)
    name = store.publish(make_release(tmp_path / "built", "one"), "m").id
    save_release(store, name[:16], tmp_path / "image")
    return name, tmp_path / "image"


def replica(tmp_path: Path, signing: Signing = Signing()) -> FakeReplica:  # noqa: B008
    made = a_replica(store_at(f"image:{tmp_path / 'image'}", signing), tmp_path / "replica")
    made.follower.poll()
    while made.follower.step():
        made.follower.poll()
    return made


def test_the_command_writes_what_an_image_needs(tmp_path: Path) -> None:
    name = store_at(str(tmp_path / "store")).publish(make_release(tmp_path / "built", "one"), "m").id
    given = ["--output", str(tmp_path / "image"), "--set", f"release.uri={tmp_path / 'store'}", "--json"]
    done = CliRunner().invoke(cli, ["release", "save", name[:16], *given])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"release": name, "path": str(tmp_path / "image"), "signed": False}
    assert replica(tmp_path).answers() == name


def test_a_replica_serves_it_after_its_proof(tmp_path: Path) -> None:
    name, _ = saved(tmp_path)
    made = replica(tmp_path)
    assert made.answers() == name
    assert len(made.loader.log) == 1
    made.follower.close()


def test_a_changed_file_is_found(tmp_path: Path) -> None:
    _, image = saved(tmp_path)
    (image / "name").write_text("two")
    made = replica(tmp_path)
    assert made.answers() is None
    assert "is damaged" in made.serving().doing


def test_a_missing_file_is_found(tmp_path: Path) -> None:
    _, image = saved(tmp_path)
    (image / "name").unlink()
    made = replica(tmp_path)
    assert made.answers() is None
    assert "there is no such file in the image" in made.serving().doing


def test_other_files_of_the_image_are_not_read(tmp_path: Path) -> None:
    name, image = saved(tmp_path)
    (image / "model.py").write_text("import os")
    assert replica(tmp_path).answers() == name
    assert not list((tmp_path / "replica").rglob("model.py"))


def test_the_signature_is_in_the_image(tmp_path: Path) -> None:
    private, public = key_pair(tmp_path)
    name, image = saved(tmp_path, Signing(private))
    assert replica(tmp_path, Signing(public=public)).answers() == name
    (image / "signature").unlink()
    with pytest.raises(ArtifactError, match="not signed"):
        store_at(f"image:{image}", Signing(public=public)).download(name, tmp_path / "down")


def test_it_cannot_be_changed(tmp_path: Path) -> None:
    _, image = saved(tmp_path)
    store = store_at(f"image:{image}")
    with pytest.raises(InputError, match="cannot be changed"):
        store.objects.write(POINTER, Pointer())
    with pytest.raises(InputError, match="cannot be changed"):
        store.publish(make_release(tmp_path / "built", "two"), "m")


def test_what_is_saved_belongs_to_nobody_else(tmp_path: Path) -> None:
    _, image = saved(tmp_path)
    assert {file.stat().st_nlink for file in image.rglob("*") if file.is_file()} == {1}
    with pytest.raises(InputError, match="exists already"):
        save_release(store_at(str(tmp_path / "store")), "0" * 64, image)


def test_a_directory_without_a_release_is_said_at_start(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"release\.json"):
        store_at(f"image:{tmp_path}")
