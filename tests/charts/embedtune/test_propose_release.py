"""A release that waits becomes a branch of the team's repository, whose values name it, once."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.embedtune.conftest import CHART

SCRIPT = CHART.parents[1] / "gitops" / "propose_release.py"
ID, OTHER = "53756c04ecce5308" * 4, "2a5a5a56c044ccb4" * 4
VALUES = """\
# Ours.
retrain:
  parameters:
    documents: s3://handbook/docs
    release_uri: minio://handbook/releases
    storage_endpoint: minio.store:9000
    storage_tls: false
    overrides: {deploy.flip: manual}
live: # Git decides
  # What is served.
  release: "" # its id
schedule:
  cron: "@daily"
"""
# Writes down how it was called, and answers what it finds in a file.
EMBEDTUNE = '#!/bin/sh\necho "$@" > "$STATE/called"\ncat "$STATE/answer"\n'


@dataclass(frozen=True)
class Repository:
    """A clone of a repository, and an `embedtune` that knows what waits."""

    clone: Path
    state: Path

    def waits(self, candidate: dict[str, Any] | None) -> None:
        (self.state / "answer").write_text(json.dumps({"pointer": {"candidate": candidate}, "releases": []}))

    def propose(self) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "STATE": str(self.state), "PATH": f"{self.state}:{os.environ['PATH']}"}
        return subprocess.run(
            [sys.executable, str(SCRIPT), "values.yaml"],
            cwd=self.clone,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def git(self, *words: str) -> str:
        return subprocess.run(["git", *words], cwd=self.clone, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "ci")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "ci@example.org")
    made = Repository(tmp_path / "clone", tmp_path / "bin")
    made.state.mkdir()
    (made.state / "embedtune").write_text(EMBEDTUNE)
    (made.state / "embedtune").chmod(0o755)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(tmp_path / "origin.git")], check=True)
    subprocess.run(["git", "clone", "-q", str(tmp_path / "origin.git"), str(made.clone)], check=True)
    made.git("switch", "-q", "-c", "main")
    (made.clone / "values.yaml").write_text(VALUES)
    made.git("add", "values.yaml")
    made.git("commit", "-q", "-m", "Values")
    made.git("push", "-q", "origin", "main")
    return made


def test_a_waiting_release_becomes_a_branch_that_changes_one_value(repository: Repository) -> None:
    repository.waits({"id": ID, "hold": True})
    done = repository.propose()
    assert done.returncode == 0, done.stderr
    branch = f"embedtune/release-{ID[:16]}"
    assert done.stdout == f"pushed {branch}\n"
    text = repository.git("show", f"origin/{branch}:values.yaml")
    assert text == VALUES.replace('  release: ""', f'  release: "{ID}"')
    assert yaml.safe_load(text)["live"] == {"release": ID}
    assert repository.git("rev-list", "--count", f"origin/main..origin/{branch}").strip() == "1"
    assert repository.git("show", "origin/main:values.yaml") == VALUES


def test_it_looks_into_the_store_of_the_runs(repository: Repository) -> None:
    repository.waits(None)
    assert repository.propose().stdout == "no release waits\n"
    assert (repository.state / "called").read_text() == (
        "release list --json --set release.uri=s3://handbook/releases"
        " --set storage.endpoint=minio.store:9000 --set storage.secure=false\n"
    )


def test_a_release_is_proposed_once(repository: Repository) -> None:
    repository.waits({"id": ID, "hold": True})
    repository.propose()
    repository.git("switch", "-q", "main")
    assert repository.propose().stdout == f"embedtune/release-{ID[:16]} is there already\n"
    repository.git("merge", "-q", f"embedtune/release-{ID[:16]}")
    assert repository.propose().stdout == f"values.yaml names {ID[:16]} already\n"
    repository.waits({"id": OTHER, "hold": True})
    assert repository.propose().stdout == f"pushed embedtune/release-{OTHER[:16]}\n"


def test_a_release_that_goes_live_by_itself_is_not_proposed(repository: Repository) -> None:
    repository.waits({"id": ID, "hold": False})
    assert repository.propose().stdout == "no release waits\n"


def test_values_without_a_store_are_refused(repository: Repository) -> None:
    (repository.clone / "values.yaml").write_text(
        "retrain: {parameters: {documents: s3://handbook/docs}}\nlive:\n"
    )
    done = repository.propose()
    assert done.returncode == 1
    assert "retrain.parameters.release_uri is not set" in done.stderr


def test_what_is_no_release_id_does_not_get_into_git(repository: Repository) -> None:
    repository.waits({"id": 'x"\nimages: {registry: evil.example}', "hold": True})
    done = repository.propose()
    assert done.returncode == 1
    assert "which is no release id" in done.stderr
    assert repository.git("branch", "--list", "embedtune/*") == ""


def test_values_without_a_place_for_the_release_are_refused(repository: Repository) -> None:
    flat = VALUES.replace(
        'live: # Git decides\n  # What is served.\n  release: "" # its id', 'live: {release: ""}'
    )
    (repository.clone / "values.yaml").write_text(flat)
    repository.waits({"id": ID, "hold": True})
    done = repository.propose()
    assert done.returncode == 1
    assert "expected the lines `live:` and `  release:` once, found them 0 times" in done.stderr
    assert repository.git("branch", "--list", "embedtune/*") == ""
