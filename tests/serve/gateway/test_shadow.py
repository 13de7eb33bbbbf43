"""The candidate gets a copy of requests, or answers those that leave the choice to the gateway."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from embedtune.core.config.machine import StorageSettings
from embedtune.core.config.serve import ServeSettings
from embedtune.core.secrets import Secrets
from embedtune.serve.gateway.app import GatewayOptions
from embedtune.serve.gateway.routes import Route
from embedtune.serve.gateway.shadow import FEWEST, Answered, Passages, Shadow, ShadowMetrics
from embedtune.serve.gateway.tracing import Tracing
from embedtune.serve.gateway.triton_client import Embedded, Form
from embedtune.serve.release.build import build_release
from embedtune.serve.release.record import Release
from embedtune.serve.replica.downloads import Downloads
from embedtune.serve.replica.loader import Loader
from embedtune.serve.replica.serving import DOWNLOADS, ProvenRelease, Serving, write_serving
from embedtune.serve.store.store import ReleaseStore
from embedtune.serve.triton.models import Models
from tests.support.gateway_server import serving
from tests.support.tiny_engine import make_tiny_engine
from tests.support.triton_endpoint import embed, inputs
from tests.support.triton_server import Triton, asking
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Two:
    """A Triton with two releases.

    Args:
        triton: The server; its release is live.
        candidate: The other release.
        model: Its endpoint model.
        options: Of a gateway in front of both.
    """

    triton: Triton
    candidate: Release
    model: str
    options: dict[str, Any]


@pytest.fixture(scope="module")
def two(triton: Triton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("two")
    release = build_release(make_tiny_engine(folder / "engine", seed=1), folder / "release", ServeSettings())
    store = ReleaseStore(str(folder / "store"), StorageSettings(), Secrets())
    store.publish(release, "model")
    loader = Loader(Downloads(store, folder / DOWNLOADS), triton.server, Models(triton.server), None)
    loaded = loader.load(release.id, [], lambda step: None)
    proven = (
        ProvenRelease(id=triton.release.id, model=triton.model),
        ProvenRelease(id=release.id, model=loaded.model),
    )
    file = folder / "serving.json"
    record = Serving(
        written=time.monotonic() + 86_400, proven=proven, live=triton.release.id, candidate=release.id
    )
    write_serving(file, record)
    yield Two(triton, release, loaded.model, {"triton": f"127.0.0.1:{triton.grpc_port}", "serving": file})
    loader.unload(loaded)


def metric(url: str, name: str, **labels: str) -> float:
    """Return a sample, summed over the labels that are not named; 0 if there is none."""
    lines = [line for line in httpx.get(f"{url}/metrics").text.splitlines() if re.match(rf"{name}[{{ ]", line)]
    wanted = [line for line in lines if all(f'{key}="{value}"' in line for key, value in labels.items())]
    return sum(float(line.rpartition(" ")[2]) for line in wanted)


def wait_for_copies(url: str, count: int) -> None:
    wait_until(lambda: metric(url, "embedtune_gateway_shadow_requests_total", outcome="ok") == count)


def ask(url: str, given: Any, model: str = "embedtune", **fields: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/embeddings", json={"model": model, "input": given, **fields}, timeout=60)


def test_a_copy_is_compared_and_the_client_gets_the_live_answer(two: Two) -> None:
    live, candidate = two.triton.release.id[:16], two.candidate.id[:16]
    with serving(GatewayOptions(**two.options, shadow=1.0)) as url:
        reply = ask(url, ["press", "kiln"])
        assert reply.json()["model"] == f"embedtune@{live}"
        wait_until(lambda: metric(url, "embedtune_gateway_shadow_cosine_count") == 2)
        assert metric(url, "embedtune_gateway_shadow_requests_total", candidate=candidate, outcome="ok") == 1
        for by in ("live", "candidate"):
            assert metric(url, "embedtune_gateway_shadow_seconds_count", candidate=candidate, by=by) == 1
        with asking(two.triton) as client:
            expected = embed(client, ["press", "kiln"])
            other = client.infer(two.model, inputs(["press", "kiln"])).as_numpy("EMBEDDING")
        given = np.array([item["embedding"] for item in reply.json()["data"]], dtype=np.float32)
        np.testing.assert_array_equal(given, expected)
        total = metric(url, "embedtune_gateway_shadow_cosine_sum")
        assert total == pytest.approx(float((expected * other).sum()), abs=1e-5)
        assert metric(url, "embedtune_gateway_tokens_total") == reply.json()["usage"]["total_tokens"]


def test_a_copy_is_a_step_of_its_own_in_the_trace(two: Two) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(memory))
    with serving(GatewayOptions(**two.options, shadow=1.0, tracing=Tracing(provider))) as url:
        ask(url, "press")
        wait_until(lambda: "shadow" in {span.name for span in memory.get_finished_spans()})
        spans = {span.name: span for span in memory.get_finished_spans()}
    assert spans["shadow"].parent.span_id == spans["POST /v1/embeddings"].context.span_id
    assert spans["shadow"].attributes["embedtune.release"] == two.candidate.id
    assert spans["encode"].parent.span_id == spans["shadow"].context.span_id  # the last one of two


def test_neighbours_are_compared_once_enough_passages_were_copied(two: Two) -> None:
    with serving(GatewayOptions(**two.options, shadow=1.0)) as url:
        for number in range(4):
            assert ask(url, [f"valve {number} {n} press" for n in range(30)]).status_code == 200
            wait_for_copies(url, number + 1)
        assert metric(url, "embedtune_gateway_shadow_overlap_count") == 0  # 90 passages were there before the last
        ask(url, "press the valve", model="embedtune-query")
        wait_until(lambda: metric(url, "embedtune_gateway_shadow_overlap_count") == 1)
        assert 0 <= metric(url, "embedtune_gateway_shadow_overlap_sum") <= 1


def test_a_candidate_that_fails_harms_no_client(two: Two, tmp_path: Path) -> None:
    file = tmp_path / "serving.json"
    gone = ProvenRelease(id="c" * 64, model="gone")
    live = ProvenRelease(id=two.triton.release.id, model=two.triton.model)
    record = Serving(written=time.monotonic() + 999, proven=(live, gone), live=live.id, candidate=gone.id)
    write_serving(file, record)
    with serving(GatewayOptions(**{**two.options, "serving": file}, shadow=1.0)) as url:
        assert ask(url, "press").status_code == 200
        wait_until(lambda: metric(url, "embedtune_gateway_shadow_requests_total", outcome="unavailable") == 1)
        assert metric(url, "embedtune_gateway_shadow_seconds_count") == 0


def test_nothing_is_copied_by_default_nor_what_another_release_answered(two: Two) -> None:
    with (
        serving(GatewayOptions(**two.options)) as url,
        serving(GatewayOptions(**two.options, shadow=1.0)) as copying,
    ):
        assert ask(url, "press").status_code == 200
        assert ask(copying, "press", model="embedtune@candidate").status_code == 200
        assert ask(copying, [f"valve {n}" for n in range(33)]).status_code == 200  # too large
        time.sleep(0.3)
        for one in (url, copying):
            assert metric(one, "embedtune_gateway_shadow_requests_total") == 0


def test_either_is_answered_by_one_release_that_the_answer_names(two: Two) -> None:
    live, candidate = two.triton.release.id, two.candidate.id
    with serving(GatewayOptions(**two.options, either=0.5)) as url:
        replies = [ask(url, "press", model="embedtune-query@either") for _ in range(40)]
        named = {reply.headers["x-embedtune-release"]: reply for reply in replies}
        assert set(named) == {live, candidate}  # by chance not: once in 2 ** 39 runs
        assert named[candidate].json()["model"] == f"embedtune-query@{candidate[:16]}"
        pinned = ask(url, "press", model=f"embedtune-query@{candidate[:16]}").json()["data"]
        assert named[candidate].json()["data"] == pinned
        plain = [ask(url, "press").headers["x-embedtune-release"] for _ in range(10)]
        assert set(plain) == {live}
    with serving(GatewayOptions(**two.options)) as url:
        assert ask(url, "press", model="embedtune@either").headers["x-embedtune-release"] == live


def unit(angles: list[float]) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_overlap_is_the_share_of_the_ten_nearest_that_both_find() -> None:
    passages = Passages(("a", "b", 2, 2))
    angles = np.arange(FEWEST) * 0.01
    query = unit([0.0])
    passages.add(unit(list(angles[:-1])), unit(list(angles[:-1])))
    assert passages.overlaps(query, query) == []  # one too few
    passages.add(unit([angles[-1]]), unit([angles[-1]]))
    assert passages.overlaps(query, query) == [1.0]
    # Nearest to 0: passages 0 to 9. Nearest to 0.12: 8 to 16 and 7 or 17. Two or three are among both.
    assert passages.overlaps(query, unit([0.1225])) == [0.2]  # 8, 9, …, 17
    # A rotation of the whole space changes no neighbour, though every cosine is 0.
    turned = Passages(("a", "b", 2, 2))
    turned.add(unit(list(angles)), unit(list(angles + np.pi / 2)))
    assert turned.overlaps(query, unit([np.pi / 2])) == [1.0]


def test_while_others_wait_nothing_is_copied() -> None:
    registry = CollectorRegistry()
    route = Route("c" * 64, "m", "m@c", None)
    shadow = Shadow(0.5, lambda _: route, ShadowMetrics(registry), Tracing(), chance=lambda: 0.49)
    endpoint: Any = SimpleNamespace(turns=SimpleNamespace(pending_tokens=7))
    answered = Answered("a" * 64, [b"press"], Form("query"), Embedded(unit([0.0]), 3), 0.1)
    shadow.copy(endpoint, answered)
    text = generate_latest(registry).decode()
    assert 'shadow_requests_total{candidate="cccccccccccccccc",outcome="busy"} 1.0' in text
