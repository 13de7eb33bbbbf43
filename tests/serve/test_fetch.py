"""The init container of a serving pod: it downloads one verified release, or fails with the reason."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedtune.core.errors import ConfigError, InputError
from embedtune.serve.fetch import fetch
from embedtune.serve.store.store import ReleaseStore
from tests.support.object_store import ENDPOINT, SECRETS, STORAGE, Bucket, a_bucket, needs_server
from tests.support.serving_world import make_release

pytestmark = needs_server


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with a_bucket() as made:
        yield made


@pytest.fixture
def variables(bucket: Bucket, tmp_path: Path) -> dict[str, str]:
    """The environment of a pod whose release is published."""
    store = ReleaseStore(f"s3://{bucket.name}/r", STORAGE, SECRETS)
    release = make_release(tmp_path / "built", "one")
    store.publish(release, "m")
    return {
        "EMBEDTUNE_RELEASE": release.id,
        "EMBEDTUNE_RELEASES": f"s3://{bucket.name}/r",
        "EMBEDTUNE_S3_ENDPOINT": str(ENDPOINT),
        "EMBEDTUNE_S3_SECURE": "false",
        "AWS_ACCESS_KEY_ID": str(SECRETS.s3_access_key),
        "AWS_SECRET_ACCESS_KEY": str(SECRETS.s3_secret_key),
    }


def run(variables: dict[str, str], into: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "embedtune.serve.fetch", str(into)]
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "PATH"))}
    return subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, check=False)


def test_the_repository_is_at_a_fixed_path(variables: dict[str, str], tmp_path: Path) -> None:
    done = run(variables, tmp_path / "pod")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pod/current/repository/embedtune/1/name").read_text() == "one"
    assert (tmp_path / "pod/current").resolve().name == variables["EMBEDTUNE_RELEASE"]


def test_a_restarted_container_verifies_the_existing_release_and_succeeds(
    variables: dict[str, str], tmp_path: Path
) -> None:
    fetch(tmp_path / "pod", variables)
    assert run(variables, tmp_path / "pod").returncode == 0


def test_a_damaged_release_fails_the_container_with_the_reason(
    variables: dict[str, str], bucket: Bucket, tmp_path: Path
) -> None:
    (key,) = [key for key in bucket.names() if key.endswith("reference.parquet")]
    bucket.put(key, b"noise")
    done = run(variables, tmp_path / "pod")
    assert done.returncode == 1
    assert "damaged in the store" in done.stderr
    assert "reference.parquet" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "pod/current").exists()


def test_a_release_for_another_target_is_refused(variables: dict[str, str], tmp_path: Path) -> None:
    fetch(tmp_path / "pod", {**variables, "EMBEDTUNE_TARGET": "python-cpu"})
    with pytest.raises(ConfigError, match=r"a different target(.|\n)*python-cpu(.|\n)*tensorrt"):
        fetch(tmp_path / "pod", {**variables, "EMBEDTUNE_TARGET": "tensorrt"})


def test_an_engine_for_another_tensorrt_is_refused_before_it_is_downloaded(
    variables: dict[str, str], bucket: Bucket, tmp_path: Path
) -> None:
    release = make_release(tmp_path / "built", "plan", tensorrt="10.13.3.9")
    ReleaseStore(f"s3://{bucket.name}/r", STORAGE, SECRETS).publish(release, "m")
    pod = {**variables, "EMBEDTUNE_RELEASE": release.id, "EMBEDTUNE_TARGET": "tensorrt"}
    for version, reason in (("10.12.0.36", "a different TensorRT version"), ("", "TRT_VERSION")):
        with pytest.raises(InputError, match=reason):
            fetch(tmp_path / "pod", {**pod, "TRT_VERSION": version})
    assert not (tmp_path / "pod").exists()
    assert fetch(tmp_path / "pod", {**pod, "TRT_VERSION": "10.13.3"}).name == release.id


@pytest.mark.parametrize("name", ["EMBEDTUNE_RELEASE", "EMBEDTUNE_RELEASES", "EMBEDTUNE_S3_ENDPOINT"])
def test_a_missing_variable_is_named(variables: dict[str, str], tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"the variable {name}\n"):
        fetch(tmp_path / "pod", {**variables, name: ""})
