"""The canary: a running model whose vectors have drifted answers nobody until it is loaded again and proven."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest

from embedtune.core.config.machine import StorageSettings
from embedtune.core.config.serve import ServeSettings
from embedtune.core.errors import GateError
from embedtune.core.secrets import Secrets
from embedtune.serve.gateway.app import GatewayOptions
from embedtune.serve.release.build import build_release
from embedtune.serve.release.proof import Kind, Reference, shuffled
from embedtune.serve.release.record import PROOF_FILE
from embedtune.serve.replica.downloads import Downloads
from embedtune.serve.replica.follower import Follower
from embedtune.serve.replica.loader import Loader
from embedtune.serve.replica.serving import DOWNLOADS, SERVING_FILE, ServingReader
from embedtune.serve.store import pointer
from embedtune.serve.store.records import Pointer
from embedtune.serve.store.store import ReleaseStore
from embedtune.serve.triton.installation import Installation
from embedtune.serve.triton.models import Models
from embedtune.serve.triton.server import Ports, TritonServer, free_ports
from tests.support.gateway_server import serving
from tests.support.replicas import FakeReplica, a_replica, vectors_by_name
from tests.support.serving_world import make_release
from tests.support.tiny_engine import make_tiny_engine


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(str(tmp_path / "store"), StorageSettings(), Secrets())


def live(store: ReleaseStore, folder: Path, canary_s: float) -> FakeReplica:
    """Return a replica that answers with a release."""
    replica = a_replica(store, folder / "replica", canary_s=canary_s)
    one = store.publish(make_release(folder / "built", "one"), "one").id
    store.objects.write(pointer.POINTER, Pointer(live=one))
    replica.follower.poll()
    assert replica.follower.step()
    replica.follower.report()  # as the thread that polls does
    assert replica.answers() == one
    return replica


def test_a_check_that_passes_is_reported_and_changes_nothing(store: ReleaseStore, tmp_path: Path) -> None:
    replica = live(store, tmp_path, canary_s=0.01)
    (before,) = replica.serving().proven
    time.sleep(0.02)
    assert not replica.follower.step()
    replica.follower.report()
    (after,) = replica.serving().proven
    assert (after.id, after.model, after.cosine) == (before.id, before.model, before.cosine)
    assert after.checked > before.checked  # type: ignore[operator]
    assert replica.serving().drifts == 0
    assert len(replica.loader.log) == 1


def test_a_model_that_drifted_answers_nobody_and_is_loaded_again(
    store: ReleaseStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replica = live(store, tmp_path, canary_s=0.01)
    release = replica.answers()
    replica.loader.embed = lambda _: lambda texts, _kind: np.eye(8, dtype=np.float32)[[0] * len(texts)]
    time.sleep(0.02)
    assert replica.follower.step()
    assert replica.answers() is None
    assert replica.serving().drifts == 1
    assert "no longer returns its reference vectors" in caplog.text
    assert replica.follower.step()  # still wrong: its proof fails
    assert replica.answers() is None
    replica.loader.embed = vectors_by_name
    replica.follower._state.failed.clear()  # ten seconds later
    assert replica.follower.step()
    replica.follower.report()
    assert replica.answers() == release
    assert replica.serving().drifts == 1


def test_a_model_that_cannot_be_asked_goes_on_and_its_last_success_grows_old(
    store: ReleaseStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replica = live(store, tmp_path, canary_s=0.01)
    (before,) = replica.serving().proven

    def busy(texts: Sequence[str], kind: Kind) -> np.ndarray:
        raise GateError("Triton does not answer")

    replica.loader.embed = lambda _: busy
    time.sleep(0.02)
    assert not replica.follower.step()
    replica.follower.report()
    assert replica.serving().proven == (before,)
    assert replica.answers() == before.id
    assert "could not be checked: Triton does not answer" in caplog.text


def test_between_two_checks_and_with_0_nothing_is_asked(store: ReleaseStore, tmp_path: Path) -> None:
    for number, canary_s in enumerate((0.0, 3600.0)):
        replica = live(store, tmp_path / str(number), canary_s)
        replica.loader.embed = lambda _: pytest.fail("it was asked")
        assert not replica.follower.step()


def test_a_shuffled_proof_has_the_same_rows() -> None:
    texts = [str(n) for n in range(50)]
    given = Reference(texts, ["query", "passage"] * 25, np.arange(100, dtype=np.float32).reshape(50, 2))
    found = shuffled(given)
    assert list(found.texts) != texts
    for text, kind, vector in zip(found.texts, found.kinds, found.vectors, strict=True):
        assert (kind, vector.tolist()) == (given.kinds[int(text)], given.vectors[int(text)].tolist())


def test_a_real_triton_whose_model_was_replaced_is_not_ready_until_it_is_proven_again(
    engine: Path, installation: Installation, store: ReleaseStore, tmp_path: Path
) -> None:
    release = build_release(engine, tmp_path / "release", ServeSettings())
    store.publish(release, "model")
    store.objects.write(pointer.POINTER, Pointer(live=release.id))
    other = build_release(make_tiny_engine(tmp_path / "engine", seed=1), tmp_path / "other", ServeSettings())
    folder, ports = tmp_path / "replica", Ports(*free_ports(3))
    (folder / "models").mkdir(parents=True)
    with TritonServer(folder / "models", installation, ports, tmp_path / "log") as server:
        server.start(120)
        models = Models(server)
        follower = Follower(
            store.objects,
            Loader(Downloads(store, folder / DOWNLOADS), server, models, None),
            folder,
            "r",
            canary_s=0.01,
        )
        follower.poll()
        assert follower.step()
        follower.report()
        (loaded,) = ServingReader(folder / SERVING_FILE).read().proven
        with serving(GatewayOptions(f"127.0.0.1:{ports.grpc}", folder / SERVING_FILE)) as url:
            assert httpx.get(f"{url}/health").status_code == 200
            # With its own proof, since no process of the model would start with that of the release.
            for name in ("model.onnx", "model.onnx.data", PROOF_FILE):
                file = folder / "models" / loaded.model / "1" / name
                file.unlink(missing_ok=True)  # a link to the download
                if (other.path / name).exists():
                    shutil.copyfile(other.path / name, file)
            models.load([loaded.model])
            assert follower.step()
            health = httpx.get(f"{url}/health")
            assert (health.status_code, health.json()["status"].partition(":")[0]) == (
                503,
                "the live release is not ready on this replica",
            )
            asked = httpx.post(f"{url}/v1/embeddings", json={"model": "embedtune", "input": "press"})
            assert asked.status_code == 503
            assert "embedtune_gateway_canary_drifts_total 1.0" in httpx.get(f"{url}/metrics").text
            assert follower.step()
            follower.report()
            assert httpx.get(f"{url}/health").status_code == 200
            assert (
                f'embedtune_gateway_canary_cosine{{release="{release.id[:16]}"}} '
                in httpx.get(f"{url}/metrics").text
            )
