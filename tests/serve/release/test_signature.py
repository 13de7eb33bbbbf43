"""Signed releases: what was not signed with the right key is not loaded."""

from pathlib import Path

import pytest

from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, ConfigError
from embedtune.core.secrets import Secrets
from embedtune.serve.release.record import Release
from embedtune.serve.release.signature import Signing
from embedtune.serve.store.store import ReleaseStore
from tests.support.releases import key_pair, make_release


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return make_release(tmp_path / "r", {"model.onnx": b"weights"})


def store(folder: Path, private: Path | None = None, public: str | None = None) -> ReleaseStore:
    return ReleaseStore(str(folder / "store"), StorageSettings(), Secrets(), signing=Signing(private, public))


def test_a_release_signed_with_the_right_key_is_loaded(tmp_path: Path, release: Release) -> None:
    private, public = key_pair(tmp_path)
    store(tmp_path, private).publish(release, "m")
    assert store(tmp_path, public=public).download(release.id, tmp_path / "down").id == release.id


def test_unsigned_and_wrongly_signed_releases_are_refused_and_can_be_signed_later(
    tmp_path: Path, release: Release
) -> None:
    private, public = key_pair(tmp_path / "right")
    other, _ = key_pair(tmp_path / "other")
    for signer, said in ((None, "no signature"), (other, "a signature of another key")):
        store(tmp_path, signer).publish(release, "m")
        with pytest.raises(ArtifactError, match=rf"not signed with the key that is required(.|\n)*{said}"):
            store(tmp_path, public=public).download(release.id, tmp_path / "down")
    store(tmp_path, private).publish(release, "m")
    assert store(tmp_path, public=public).download(release.id, tmp_path / "down").id == release.id


def test_a_signature_of_another_release_does_not_count(tmp_path: Path, release: Release) -> None:
    private, public = key_pair(tmp_path)
    signing = Signing(private, public)
    signature = signing.sign(release.id)
    signing.require(release.id, signature)
    for wrong in (signature, "no base64 !", "", None):
        with pytest.raises(ArtifactError, match="not signed"):
            signing.require("0" * 64, wrong)


def test_other_kinds_of_keys_are_refused(tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "x25519")
    with pytest.raises(ConfigError, match=r"release\.signing_key is not an Ed25519 key(.|\n)*openssl"):
        Signing(private).sign("0" * 64)
    with pytest.raises(ConfigError, match=r"release\.public_key is not an Ed25519 key"):
        Signing(public=public).require("0" * 64, "")
    with pytest.raises(ConfigError, match=r"release\.signing_key is not"):
        Signing(tmp_path / "none").sign("0" * 64)
