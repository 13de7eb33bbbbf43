"""A run for each version of the documents: `{documents}` in the key and in the description of a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from components.inputs import version
from embedtune.cli import cli
from embedtune.core.config.machine import StorageSettings
from embedtune.core.secrets import Secrets
from tests.support.kfp_server import FakeKfp

KEY, TEXT = "run-4f1c", "commit 0a1b, documents {documents}"


class Bucket:
    """The listing of a bucket, and who asked for it."""

    def __init__(self) -> None:
        self.files = {"a.md": "etag-1"}
        self.asked: list[tuple[str, str | None, str | None]] = []

    def list(self, address: str, storage: StorageSettings, secrets: Secrets) -> list[SimpleNamespace]:
        self.asked.append((address, storage.endpoint, secrets.s3_access_key))
        return [SimpleNamespace(name=name, size=1, etag=etag) for name, etag in self.files.items()]

    def version(self) -> str:
        return version(["s3://handbook/docs"], StorageSettings(), Secrets())


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    made = Bucket()
    monkeypatch.setattr("components.inputs.list_prefix", made.list)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "minio")
    return made


def run(key: str, description: str = TEXT, documents: str = "minio://handbook/docs") -> Result:
    fields = {"documents": documents, "storage_endpoint": "minio.store:9000"}
    settings = [word for name, value in fields.items() for word in ("--set", f"{name}={value}")]
    words = ["pipeline", "run", "--kind", "cpu", *settings, "--once", key, "--description", description]
    return CliRunner().invoke(cli, words, catch_exceptions=False)


def names(kfp: FakeKfp) -> list[str]:
    return [entry["display_name"] for entry in kfp.entries["runs"]]


def test_unchanged_documents_start_nothing_and_changed_ones_start_a_run(kfp: FakeKfp, bucket: Bucket) -> None:
    first = bucket.version()
    for _ in range(2):
        assert run(f"{KEY}-{{documents}}").exit_code == 0
    assert names(kfp) == [f"{KEY}-{first}"]
    bucket.files["b.md"] = "etag-2"
    assert run(f"{KEY}-{{documents}}").exit_code == 0
    assert names(kfp) == [f"{KEY}-{first}", f"{KEY}-{bucket.version()}"]
    assert first != bucket.version()


def test_the_run_of_a_commit_was_for_the_documents_of_its_description(kfp: FakeKfp, bucket: Bucket) -> None:
    assert run(KEY).exit_code == 0
    assert kfp.entries["runs"][0]["description"] == f"commit 0a1b, documents {bucket.version()}"
    assert run(f"{KEY}-{{documents}}").exit_code == 0
    assert names(kfp) == [KEY]
    bucket.files["a.md"] = "etag-2"
    assert run(f"{KEY}-{{documents}}").exit_code == 0
    assert names(kfp) == [KEY, f"{KEY}-{bucket.version()}"]


def test_the_runs_own_store_and_this_process_credentials_list_them(kfp: FakeKfp, bucket: Bucket) -> None:
    run(KEY)
    assert bucket.asked == [("s3://handbook/docs", "minio.store:9000", "minio")]


def test_a_key_without_a_version_asks_no_object_store(kfp: FakeKfp, bucket: Bucket) -> None:
    assert run(KEY, description="commit 0a1b").exit_code == 0
    assert bucket.asked == []


def test_documents_that_cannot_be_listed_start_nothing(kfp: FakeKfp, bucket: Bucket) -> None:
    done = run(KEY, documents="/data/docs")
    assert done.exit_code == 2
    assert "the documents of {documents} cannot be listed from here" in done.stderr
    assert names(kfp) == []


def test_a_pipeline_without_documents_has_no_version_of_them(kfp: FakeKfp, tmp_path: Path) -> None:
    document: dict[str, Any] = {"pipelineInfo": {"name": "other"}, "root": {"dag": {"tasks": {}}}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(document))
    words = ["pipeline", "run", str(tmp_path / "other.yaml"), "--once", "{documents}"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 2
    assert "a pipeline other without the parameter documents" in done.stderr
