"""The chart in a namespace of a real cluster, and tiny releases in an object store that its pods can reach.

KUBECONFIG names the cluster, EMBEDTUNE_TEST_IMAGE the image `triton` that its nodes have, and
EMBEDTUNE_TEST_CLUSTER_S3 a MinIO as host:port that pods and this machine reach; AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY are its credentials.
"""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from embedtune.core.artifacts import write_artifact
from embedtune.core.config.load import parse_config
from embedtune.core.config.serve import ServeSettings
from embedtune.deploy.site import ServingSite, open_site
from embedtune.serve.release.build import build_release
from embedtune.serve.release.record import REFERENCE_FILE, Release
from embedtune.serve.store.replicas import read_replicas
from embedtune.serve.store.store import ReleaseStore
from tests.charts.conftest import CHART, find_tool
from tests.support.cluster_load import Text, read_texts
from tests.support.context import provenance
from tests.support.object_store import SECRETS, Bucket
from tests.support.tiny_engine import make_tiny_engine
from tests.support.tiny_model import TINY_DIMENSION

NEEDED = ("KUBECONFIG", "EMBEDTUNE_TEST_IMAGE", "EMBEDTUNE_TEST_CLUSTER_S3", "AWS_ACCESS_KEY_ID")
KEY = "sesame"


@dataclass(frozen=True)
class World:
    """A namespace with the chart, and what `embedtune deploy` needs.

    Args:
        namespace: The namespace; pods must meet the Pod Security Standard "restricted" in it.
        site: Where releases go live.
        store: Holds the releases.
        texts: Each with the vector that each release returns.
        good: Two releases.
        damaged: One with a file that was changed in the bucket.
        wrong: One whose vectors are not those of its checkpoint.
    """

    namespace: str
    site: ServingSite
    store: ReleaseStore
    texts: list[Text]
    good: tuple[Release, Release]
    damaged: Release
    wrong: Release

    @property
    def url(self) -> str:
        """The gateway, through its Service."""
        return str(self.site.deploy.endpoint)

    def live(self) -> dict[str, str | None]:
        """Return the release that each replica answers with, by its name."""
        return {replica.name: replica.record.live for replica in read_replicas(self.store.objects)}

    def pods(self) -> list[str]:
        """Return the names of the pods; terminating pods are included."""
        selector = ("-l", "app.kubernetes.io/component=server")
        path = "jsonpath={.items[*].metadata.name}"
        return kubectl("-n", self.namespace, "get", "pods", *selector, "-o", path).split()

    def helm(self, *command: str) -> str:
        return run("helm", "-n", self.namespace, *command)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def kubectl(*arguments: str) -> str:
    return run("kubectl", *arguments)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require_cluster()
    folder, bucket = tmp_path_factory.mktemp("cluster"), Bucket(os.environ["EMBEDTUNE_TEST_CLUSTER_S3"])
    with a_namespace() as namespace, ExitStack() as ended:
        ended.callback(bucket.remove)
        url = install(namespace, os.environ["EMBEDTUNE_TEST_CLUSTER_S3"], bucket)
        config = parse_config(
            {
                "contract": {"base_model": "tiny", "dimensions": [TINY_DIMENSION, 16]},
                "release": {"uri": f"s3://{bucket.name}/releases"},
                "storage": {"endpoint": os.environ["EMBEDTUNE_TEST_CLUSTER_S3"], "secure": False},
                "deploy": {"target": "kubernetes", "namespace": namespace, "endpoint": url, "timeout_s": 240},
            }
        )
        site = open_site(config, replace(SECRETS, endpoint_api_key=KEY), folder)
        yield make_world(namespace, site, bucket, folder)


def require_cluster() -> None:
    """Skip the test if something is missing."""
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        pytest.skip(f"no cluster for tests: {', '.join(missing)} not set")
    if absent := [name for name in ("helm", "kubectl") if find_tool(name) is None]:
        pytest.skip(f"not installed: {', '.join(absent)}")


@contextmanager
def a_namespace() -> Iterator[str]:
    """Make a namespace and delete it at the end."""
    name = f"embedtune-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def make_world(namespace: str, site: ServingSite, bucket: Bucket, folder: Path) -> World:
    store, engines = (
        site.store,
        [make_tiny_engine(folder / f"engine-{seed}", seed=seed) for seed in range(4)],
    )
    wrong = with_reference(engines[3], engines[0] / REFERENCE_FILE, folder / "engine-wrong")
    made = [publish(site, engine) for engine in (*engines[:3], wrong)]
    pairs = zip(made, engines, strict=True)
    texts = read_texts({release.id: engine / REFERENCE_FILE for release, engine in pairs})
    change_a_byte(store, bucket, made[2].id)
    return World(namespace, site, store, texts, (made[0], made[1]), damaged=made[2], wrong=made[3])


def install(namespace: str, store: str, bucket: Bucket, *more: str) -> str:
    """Install the chart as for one small node, with two pods.

    Args:
        namespace: Where to.
        store: The object store as host:port.
        bucket: A bucket in it.
        more: Further options of `helm install`.

    Returns:
        The gateway's address.
    """
    access = {"access-key": os.environ["AWS_ACCESS_KEY_ID"], "secret-key": os.environ["AWS_SECRET_ACCESS_KEY"]}
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    for name, values in {"embedtune-storage": access, "endpoint": {"api-key": KEY}}.items():
        literals = [f"--from-literal={key}={value}" for key, value in values.items()]
        kubectl("-n", namespace, "create", "secret", "generic", name, *literals)
    repository, _, tag = os.environ["EMBEDTUNE_TEST_IMAGE"].rpartition(":")
    values = {
        "image.repository": repository,
        "image.tag": tag,
        "storage.endpoint": store,
        "storage.releases": f"s3://{bucket.name}/releases",
        "gateway.apiKeySecret": "endpoint",
        "service.type": "NodePort",
        "replicas": 2,
    }
    settings = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    run(
        *("helm", "-n", namespace, "install", "embedtune", str(CHART)),
        *("-f", str(CHART / "values-small.yaml"), *settings, *more),
    )
    port = kubectl("-n", namespace, "get", "service/embedtune-triton", "-o", "jsonpath={.spec.ports[0].nodePort}")
    return f"http://127.0.0.1:{port}"


def publish(site: ServingSite, engine: Path) -> Release:
    release = build_release(engine, site.built, ServeSettings())
    site.store.publish(release, engine.name)
    return release


def with_reference(engine: Path, reference: Path, path: Path) -> Path:
    """Write a copy of an engine with the reference of another one."""
    with write_artifact(path, "engine", provenance()) as draft:
        shutil.copytree(engine, draft.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
        shutil.copyfile(reference, draft.path / REFERENCE_FILE)
    return path


def change_a_byte(store: ReleaseStore, bucket: Bucket, name: str) -> None:
    """Change the weights of a published release in the bucket."""
    key = store.objects.prefix + store.show(name).data + "model.onnx"
    data = bytearray(bucket.client.get_object(bucket.name, key).data)
    data[len(data) // 2] ^= 1
    bucket.put(key, bytes(data))
