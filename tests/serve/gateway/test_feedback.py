"""POST /v1/feedback: a valid record reaches the place, everything else is refused with what would be right."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from embedtune.core.records.feedback import MAX_QUERY, Feedback
from embedtune.serve.gateway.app import GatewayOptions
from embedtune.serve.gateway.feedback.log import FeedbackOptions
from embedtune.serve.gateway.feedback.route import BURST, PER_S, Pace
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.json_body import SHORT_BODY
from embedtune.serve.replica.serving import SERVING_FILE, Serving, write_serving
from embedtune.serve.triton.server import free_ports
from tests.support.gateway_server import key, serving
from tests.support.waiting import wait_until

SECRET_QUERY = "zweiundvierzig pumps in my cellar"
BODY = {
    "query": SECRET_QUERY,
    "shown": ["p2", "p1"],
    "chosen": ["p1"],
    "release": "embedtune-query@2a5a5a56c044ccb4",
}


def options(folder: Path, **more: Any) -> GatewayOptions:
    """Return options of a gateway whose replica serves nothing: feedback needs no model."""
    folder.mkdir(parents=True, exist_ok=True)
    write_serving(folder / SERVING_FILE, Serving(written=time.monotonic() + 86_400, proven=(), live=None))
    return GatewayOptions("127.0.0.1:1", folder / SERVING_FILE, **more)


def written(place: Path) -> list[Feedback]:
    lines = [line for file in sorted(place.glob("feedback-*.jsonl")) for line in file.read_bytes().splitlines()]
    return [Feedback.model_validate_json(line) for line in lines]


def metrics(url: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("embedtune_gateway_feedback_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
        for sample in family.samples
        if sample.name.startswith("embedtune_gateway_feedback")
    }


def test_a_choice_is_written_with_the_release_the_time_and_the_name_of_the_key(tmp_path: Path) -> None:
    place = tmp_path / "place"
    given = options(tmp_path, feedback=FeedbackOptions(place), api_key=key("sesame", "search"))
    with serving(given) as url:
        reply = httpx.post(f"{url}/v1/feedback", json=BODY, headers={"Authorization": "Bearer sesame"})
        assert (reply.status_code, reply.json()) == (202, {"status": "accepted"})
        wait_until(lambda: written(place))
        assert metrics(url)["accepted_total",] == metrics(url)["written_total",] == 1
        assert metrics(url)["disk_bytes",] > 100
        assert httpx.post(f"{url}/v1/feedback", json=BODY).status_code == 401
    (record,) = written(place)
    assert (record.query, record.shown, record.chosen) == (SECRET_QUERY, ("p2", "p1"), ("p1",))
    assert (record.release, record.key) == ("2a5a5a56c044ccb4", "search")
    (line,) = next(place.glob("*.jsonl")).read_text().splitlines()
    assert "sesame" not in line
    assert json.loads(line)["schema_name"] == "feedback"
    assert json.loads(line)["schema_version"] == 1


def test_without_the_option_nothing_is_recorded(tmp_path: Path) -> None:
    with serving(options(tmp_path)) as url:
        reply = httpx.post(f"{url}/v1/feedback", json=BODY)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "no_feedback")
    assert "--feedback" in reply.json()["error"]["message"]


@pytest.fixture(scope="module")
def open_gateway(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("gateway")
    with serving(options(folder, feedback=FeedbackOptions(folder / "place"))) as url:
        yield url, folder / "place"


@pytest.mark.parametrize(
    ("change", "param", "what"),
    [
        ({"query": "  "}, "query", "is blank"),
        ({"query": ""}, "query", "expected str of length >= 1"),
        ({"query": "x" * (MAX_QUERY + 1)}, "query", f"length <= {MAX_QUERY}"),
        ({"query": ["x"]}, "query", "expected str"),
        ({"query": None}, "query", "expected str"),
        ({"shown": []}, "shown", "length >= 1"),
        ({"shown": [str(n) for n in range(101)]}, "shown", "length <= 100"),
        ({"shown": ["p1", "p1"]}, "shown", "twice"),
        ({"shown": ["p1", 7]}, "shown[1]", "expected str"),
        ({"shown": ["p1", "x" * 513]}, "shown[1]", "length <= 512"),
        ({"chosen": ["p3"]}, "chosen", "not in shown"),
        ({"chosen": "p1"}, "chosen", "expected array"),
        ({"release": "latest"}, "release", "x-embedtune-release"),
        ({"release": "embedtune@"}, "release", "x-embedtune-release"),
        ({"embedding": [0.1]}, "embedding", "there is no such field"),
    ],
)
def test_a_wrong_field_is_named(open_gateway: Any, change: dict[str, Any], param: str, what: str) -> None:
    url, _ = open_gateway
    reply = httpx.post(f"{url}/v1/feedback", json={**BODY, **change})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "invalid_request", param)
    assert what in error["message"]


@pytest.mark.parametrize("missing", ["query", "shown", "chosen"])
def test_a_missing_field_is_named(open_gateway: Any, missing: str) -> None:
    url, _ = open_gateway
    reply = httpx.post(f"{url}/v1/feedback", json={name: value for name, value in BODY.items() if name != missing})
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, f"{missing}: is missing")


def test_a_large_body_is_refused_before_it_is_decoded(open_gateway: Any) -> None:
    url, _ = open_gateway
    content = b"[" * (SHORT_BODY + 1)
    reply = httpx.post(f"{url}/v1/feedback", content=content, headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps).map(str.encode)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_garbage_is_a_400_and_is_never_written(open_gateway: Any, content: bytes) -> None:
    url, place = open_gateway
    before = written(place)
    reply = httpx.post(f"{url}/v1/feedback", content=content, headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] in {"invalid_json", "invalid_request"}
    assert written(place) == before


def test_a_key_that_has_used_its_quota_is_refused_and_feedback_is_charged(tmp_path: Path) -> None:
    given = options(tmp_path, feedback=FeedbackOptions(tmp_path / "place"), api_key=key("k", quota=60))
    with serving(given) as url:
        replies = [
            httpx.post(f"{url}/v1/feedback", json=BODY, headers={"Authorization": "Bearer k"}) for _ in range(3)
        ]
    # A body of about 130 bytes counts as about 33 tokens of the 60.
    assert [reply.status_code for reply in replies] == [202, 202, 429]
    assert replies[-1].json()["error"]["code"] == "quota_exceeded"
    assert int(replies[-1].headers["Retry-After"]) >= 1


def test_a_key_that_sends_too_often_has_to_wait_and_others_do_not() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    for _ in range(int(BURST)):
        pace.require("script")
    with pytest.raises(RefusedError) as refused:
        pace.require("script")
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")
    assert refused.value.retry_after_s == pytest.approx(1 / PER_S)
    pace.require("search")
    now += 1.5 / PER_S
    pace.require("script")


def test_a_real_process_writes_everything_before_it_ends_and_logs_no_query(tmp_path: Path) -> None:
    options(tmp_path)
    (port,) = free_ports(1)
    log = tmp_path / "log"
    command = [sys.executable, "-m", "embedtune.serve.gateway", "--port", str(port), "--drain", "0"]
    command += ["--serving", str(tmp_path), "--feedback", str(tmp_path / "place"), "--feedback-days", "30"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: b"Application startup complete" in log.read_bytes(), 300)
            with httpx.Client(base_url=url) as client:
                for number in range(50):
                    body = {**BODY, "query": f"{SECRET_QUERY} {number}"}
                    assert client.post("/v1/feedback", json=body).status_code == 202
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0
        finally:
            process.kill()
    assert [record.query for record in written(tmp_path / "place")] == [f"{SECRET_QUERY} {n}" for n in range(50)]
    assert b"route=/v1/feedback status=202" in log.read_bytes()
    assert b"zweiundvierzig" not in log.read_bytes()
