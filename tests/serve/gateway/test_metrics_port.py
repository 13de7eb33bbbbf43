"""Metrics name API keys: with a port of their own, clients cannot read them, and scrapers cannot reach the API."""

import httpx

from embedtune.serve.triton.server import free_ports
from tests.serve.gateway.test_operations import REQUEST, process, samples
from tests.support.triton_server import Triton
from tests.support.waiting import wait_until


def test_metrics_with_a_port_of_their_own_are_not_on_that_of_the_clients(triton: Triton) -> None:
    (port,) = free_ports(1)
    behind = (f"--triton=127.0.0.1:{triton.grpc_port}", f"--serving={triton.serving.parent}")
    with process(*behind, f"--metrics-port={port}", "--drain=0") as (_, url):
        wait_until(lambda: httpx.get(f"{url}/health").status_code == 200)
        assert httpx.post(f"{url}/v1/embeddings", json=REQUEST).status_code == 200
        assert httpx.get(f"{url}/metrics").status_code == 404
        assert "/metrics" not in httpx.get(f"{url}/openapi.json").json()["paths"]
        apart = f"http://127.0.0.1:{port}"
        named = ("embedtune-query", triton.release.id[:16])
        assert samples(apart)["embedtune_gateway_requests_total", *named, "/v1/embeddings", "200"] == 1
        assert httpx.post(f"{apart}/v1/embeddings", json=REQUEST).status_code == 405
