"""A site with replicas that follow its store, and releases in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedtune.core.config.config import Config
from embedtune.core.config.deploy import DeploySettings
from embedtune.core.config.machine import StorageSettings
from embedtune.core.secrets import Secrets
from embedtune.deploy import rollout as module
from embedtune.deploy.site import ServingSite
from embedtune.serve.replica import state
from embedtune.serve.store import pointer
from embedtune.serve.store.store import ReleaseStore
from tests.support.replicas import FakeReplica, a_replica, following
from tests.support.serving_world import make_release

MODELS = ("one", "two", "three", "wrong")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter times: everything is on one machine."""
    monkeypatch.setattr(pointer, "AHEAD_S", 0.6)
    monkeypatch.setattr(state, "FENCE_S", 0.5)
    monkeypatch.setattr(module, "POLL_S", 0.02)
    monkeypatch.setattr(module, "NOBODY_S", 0.3)


@pytest.fixture
def site(tmp_path: Path, config: Config, soon: None) -> ServingSite:
    """A store, with replicas elsewhere."""
    store = ReleaseStore(str(tmp_path / "store"), StorageSettings(), Secrets(), 1.5)
    deploy = DeploySettings(target="kubernetes", timeout_s=20)
    return ServingSite(deploy, config.export, tmp_path / "built", store, StorageSettings())


@pytest.fixture
def published(site: ServingSite, tmp_path: Path) -> dict[str, str]:
    """The ids of the releases in the store: three good ones, and one with the vectors of another model."""
    made = {model: make_release(tmp_path / "built", model, wrong=model == "wrong") for model in MODELS}
    for model, release in made.items():
        site.store.publish(release, model)
    return {model: release.id for model, release in made.items()}


@pytest.fixture
def three(site: ServingSite, tmp_path: Path) -> Iterator[list[FakeReplica]]:
    """Three replicas that follow the store."""
    made = [a_replica(site.store, tmp_path / f"replica-{number}", f"replica-{number}") for number in range(3)]
    with following(*made):
        yield made
