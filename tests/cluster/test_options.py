"""Options of the chart on a real Kubernetes: HTTPS, keys, tokens, policies, traces, feedback, a cache.

Besides what conftest.py needs: EMBEDTUNE_TEST_MINIO, a program that starts a MinIO server, since the store is
taken away; pods reach it, a collector of traces and an identity provider at the host of EMBEDTUNE_TEST_CLUSTER_S3.
There is one installation, with all of the options and one pod.
"""

import json
import os
import ssl
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from cryptography import x509

from tests.cluster.conftest import kubectl, run
from tests.cluster.options import NAME, SEARCH, World, installed
from tests.support.minio_server import needs_program
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.cluster, needs_program]
KUBELET_S = 240  # it looks for new contents of Secrets about once a minute
READ = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with installed(tmp_path_factory.mktemp("options")) as found:
        yield found


def served(world: World) -> int:
    """Return the serial number of the certificate that a new connection gets."""
    host, port = world.url.removeprefix("https://").split(":")
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((host, int(port))).encode()).serial_number


def replaced(world: World, pod: str) -> None:
    """Wait until another pod is there instead of one that was deleted, and the Service leads to it."""
    wait_until(lambda: world.pod() != pod, pause_s=0.5)
    world.kubectl("wait", "--for=condition=Ready", f"pod/{world.pod()}", "--timeout=180s")

    def answers() -> bool:
        with world.client() as http, suppress(httpx.TransportError):
            return http.get("/health").status_code == 200
        return False

    wait_until(answers, pause_s=0.5)


def health(world: World) -> dict[str, str]:
    """Return what the gateway says to a client that has a key, when it is ready."""
    with world.client() as http:
        reply = http.get("/health", headers={"Authorization": f"Bearer {SEARCH}"})
    assert reply.status_code == 200
    return dict(reply.json())


def test_only_who_trusts_the_authority_is_answered_over_https_and_the_probes_are(world: World) -> None:
    reply = world.embed()
    assert world.texts[0].release_of(reply.json()["data"][0]["embedding"]) == world.release.id
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{world.url}/health")
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{world.url.replace('https', 'http')}/health")
    assert world.kubectl("get", f"deploy/{NAME}", "-o", "jsonpath={.status.readyReplicas}") == "1"
    assert world.restarts() == 0


def test_helm_test_passes_without_a_key_and_although_clients_are_named(world: World) -> None:
    assert "Succeeded" in run("helm", "-n", world.namespace, "test", "embedtune", "--logs")


def test_named_keys_and_access_tokens_are_accepted_and_others_are_not(world: World) -> None:
    tokens = {world.provider.token(): 200, world.provider.token(aud="another service"): 401}
    for key, status in {SEARCH: 200, "wrong": 401, None: 401, **tokens}.items():
        assert world.embed(key).status_code == status


def test_only_named_pods_reach_the_gateway_and_its_metrics(world: World) -> None:
    pod = world.address(f"pod/{world.pod()}")
    world.kubectl("wait", "--for=condition=Ready", "pod/client", "pod/scraper", "pod/stranger")
    for role, ports in {"client": {8080}, "scraper": {8081, 8002}, "stranger": set()}.items():
        assert {port for port in (8080, 8081, 8000, 8001, 8002) if world.reaches(role, pod, port)} == ports
    service = world.address(f"service/{NAME}")
    assert world.reaches("client", service, 8080)
    assert not world.reaches("stranger", service, 8080)


def test_the_pod_reaches_its_store_its_collector_and_nothing_else(world: World) -> None:
    other_store, port = os.environ["EMBEDTUNE_TEST_CLUSTER_S3"].split(":")
    path = "jsonpath={.spec.clusterIP}"
    kubernetes = kubectl("-n", "default", "get", "service/kubernetes", "-o", path)
    for host, number in ((other_store, int(port)), (kubernetes, 443)):
        assert world.reaches("stranger", host, number)  # so that nothing but the policy is in the way
        assert not world.reaches(world.pod(), host, number)
    for url in (world.minio.endpoint, world.collector.url, world.provider.url):
        host, port = url.rpartition("/")[2].split(":")
        assert world.reaches(world.pod(), host, int(port))


def test_scrapers_read_that_the_canary_compares_what_is_served(world: World) -> None:
    pod = world.address(f"pod/{world.pod()}")

    def canary() -> dict[str, float]:
        lines = world.python("scraper", READ, f"http://{pod}:8081/metrics").splitlines()
        of_release = f'{{release="{world.release.id[:16]}"}}'
        pairs = [line.split(of_release) for line in lines if of_release in line]
        return {name.removeprefix("embedtune_gateway_canary_"): float(value) for name, value in pairs}

    wait_until(lambda: "last_success_timestamp_seconds" in canary(), pause_s=1)
    first = canary()["last_success_timestamp_seconds"]
    wait_until(lambda: canary()["last_success_timestamp_seconds"] > first + 1, pause_s=1)
    assert canary()["cosine"] > 0.9999
    assert "nv_inference_request_success" in world.python("scraper", READ, f"http://{pod}:8002/metrics")


def test_spans_of_gateway_and_triton_reach_the_collector(world: World) -> None:
    names = {"POST /v1/embeddings", "parse", "wait", "encode", "respond", "InferRequest", "compute"}
    # Triton 2.51 does not always send the spans of a request.
    for attempt in range(8):
        trace = f"{attempt + 1:032x}"
        assert world.embed(traceparent=f"00-{trace}-b7ad6b7169203331-01").status_code == 200
        with suppress(AssertionError):
            wait_until(lambda trace=trace: names <= world.collector.of(trace).keys(), 15)
            break
    found = world.collector.of(trace)
    assert names <= found.keys()
    assert {span.service for span in found.values()} == {NAME, f"{NAME}-server"}
    assert found["POST /v1/embeddings"].attributes["embedtune.key"] == "search"
    assert found["InferRequest"].parent == found["encode"].id


def test_feedback_is_in_the_bucket_after_its_pod_was_deleted(world: World) -> None:
    pod, chosen = world.pod(), {"query": "where is the pump?", "shown": ["a", "b"], "chosen": ["b"]}
    with world.client() as http:
        reply = http.post("/v1/feedback", json=chosen, headers={"Authorization": f"Bearer {SEARCH}"})
    assert (reply.status_code, reply.json()) == (202, {"status": "accepted"})
    assert not [name for name in world.bucket.names() if name.startswith("asked/")]
    world.kubectl("delete", "pod", pod)
    (name,) = [name for name in world.bucket.names() if name.startswith("asked/")]
    (line,) = world.bucket.client.get_object(world.bucket.name, name).data.splitlines()
    assert json.loads(line).items() >= {**chosen, "key": "search"}.items()
    replaced(world, pod)


def test_new_keys_and_a_new_certificate_are_used_without_a_restart(world: World) -> None:
    pod, before = world.pod(), served(world)
    world.set_keys(indexing="of the indexer")
    after = world.set_certificate().serial
    wait_until(lambda: served(world) == after, KUBELET_S, pause_s=1)
    wait_until(lambda: world.embed("of the indexer").status_code == 200, KUBELET_S, pause_s=1)
    assert before != after
    assert world.embed(SEARCH).status_code == 401
    assert (world.pod(), world.restarts()) == (pod, 0)
    world.set_keys(search=SEARCH)
    wait_until(lambda: world.embed(SEARCH).status_code == 200, KUBELET_S, pause_s=1)


def test_a_new_pod_serves_from_the_cache_while_the_store_is_away(world: World) -> None:
    pod = world.pod()
    assert "warning" not in health(world)
    world.minio.kill()
    try:
        world.kubectl("delete", "pod", pod)
        replaced(world, pod)
        assert "a pointer that was read" in health(world)["warning"]
        vector = world.embed().json()["data"][0]["embedding"]
        assert world.texts[0].release_of(vector) == world.release.id
    finally:
        world.minio.start()
    wait_until(lambda: "warning" not in health(world), 120, pause_s=1)
