"""What a gateway says while its replica goes by a pointer that was read before it started."""

import dataclasses
import time
from pathlib import Path

import httpx
import pytest

from embedtune.serve.replica.serving import ServingReader, write_serving
from tests.support.gateway_server import key, samples, serving
from tests.support.triton_server import Triton, options

DOING = "the release store cannot be read: it does not answer"
HEALTH = ("/health", "/v1/health/ready")


def with_changes(triton: Triton, folder: Path, **changes: object) -> Triton:
    """Return the server with another file that says what may answer."""
    file = folder / "serving.json"
    write_serving(file, ServingReader(triton.serving).read().model_copy(update=changes))
    return dataclasses.replace(triton, serving=file)


def test_it_answers_and_says_how_old_its_knowledge_is(triton: Triton, tmp_path: Path) -> None:
    now = time.monotonic()
    cut_off = with_changes(triton, tmp_path, kept=True, read_at=now - 7200, fence_at=now + 7200, doing=DOING)
    with serving(options(cut_off)) as url:
        health = httpx.get(f"{url}/health")
        found = samples(url)
        answer = httpx.post(f"{url}/v1/embeddings", json={"model": "embedtune", "input": "press"})
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert health.json()["warning"].startswith(DOING)
    assert health.json()["warning"].endswith("a pointer that was read 2 h 0 min ago")
    assert answer.status_code == 200
    assert found["embedtune_gateway_pointer_kept",] == 1
    assert found["embedtune_gateway_pointer_age_seconds",] == pytest.approx(7200, abs=60)


def test_when_that_is_too_old_only_who_pins_a_release_is_answered(triton: Triton, tmp_path: Path) -> None:
    now = time.monotonic()
    cut_off = with_changes(triton, tmp_path, kept=True, read_at=now - 7200, fence_at=now - 1, doing=DOING)
    with serving(options(cut_off)) as url:
        health = httpx.get(f"{url}/health")
        answers = [
            httpx.post(f"{url}/v1/embeddings", json={"model": model, "input": "press"})
            for model in ("embedtune", f"embedtune@{triton.release.id[:16]}")
        ]
    assert (health.status_code, health.json()["status"]) == (503, f"another release may be live by now: {DOING}")
    assert [answer.status_code for answer in answers] == [503, 200]


@pytest.mark.parametrize("fence_s", [7200, -1])
def test_strangers_learn_neither_why_it_is_not_ready_nor_where_the_store_is(
    triton: Triton, tmp_path: Path, fence_s: int
) -> None:
    now = time.monotonic()
    cut_off = with_changes(triton, tmp_path, kept=True, read_at=now - 7200, fence_at=now + fence_s, doing=DOING)
    with serving(options(cut_off, api_key=key("sesame"))) as url:
        asked = {
            header: [httpx.get(f"{url}{path}", headers={"Authorization": header}).text for path in HEALTH]
            for header in ("", "Bearer wrong", "Bearer sesame")
        }
    for header in ("", "Bearer wrong"):
        assert not [text for text in asked[header] if DOING in text]
    assert DOING in asked["Bearer sesame"][0]
    if fence_s < 0:
        assert DOING in asked["Bearer sesame"][1]
        assert "not ready; send an API key to read why" in asked[""][1]


def test_a_replica_that_reads_the_store_has_no_warning(triton: Triton, tmp_path: Path) -> None:
    with serving(options(with_changes(triton, tmp_path, read_at=time.monotonic()))) as url:
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        assert samples(url)["embedtune_gateway_pointer_kept",] == 0
