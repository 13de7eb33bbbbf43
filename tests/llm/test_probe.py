"""The probe: what `embedtune doctor` finds out about an LLM endpoint."""

from typing import Any

import pytest

from embedtune.core.config.generate import LLMEndpointSettings
from embedtune.core.errors import LLMEndpointError
from embedtune.llm.probe import LLMEndpointReport, probe_llm_endpoint
from tests.support.openai_replies import always
from tests.support.openai_server import OpenAIServer


def probe(server: OpenAIServer, key: str | None = None, **changed: Any) -> LLMEndpointReport:
    fields = {"base_url": server.url, "model": "tiny", "timeout_s": 10, **changed}
    return probe_llm_endpoint(LLMEndpointSettings.model_validate(fields), key)


def test_a_good_llm_endpoint_is_usable_and_measured() -> None:
    with OpenAIServer(api_key="k", models=frozenset({"tiny"}), delay_s=0.01) as server:
        report = probe(server, "k")
        assert len(server.calls) == 1
    assert report.usable
    assert (report.reachable, report.key_ok, report.model_known, report.json_schema) == (True,) * 4
    assert report.latency_s is not None
    assert report.latency_s > 0.01
    assert report.tokens_per_s is not None
    assert report.tokens_per_s > 0
    assert report.problem is None


def test_a_server_that_rejects_json_schema_is_usable_without_it() -> None:
    with OpenAIServer(json_schema=False, max_tokens=False) as server:
        report = probe(server)
    assert report.usable
    assert report.json_schema is False


def test_a_server_that_ignores_json_schema_is_detected() -> None:
    with OpenAIServer(replies=lambda call: '{"sea": "It is wide."}') as server:
        report = probe(server)
    assert report.usable
    assert report.json_schema is False


def test_a_wrong_key_and_an_unknown_model_are_distinguished() -> None:
    with OpenAIServer(api_key="k") as server:
        wrong_key = probe(server, "sk-wrong-310")
    assert (wrong_key.reachable, wrong_key.key_ok, wrong_key.model_known) == (True, False, None)
    assert "sk-wrong-310" not in str(wrong_key)
    with OpenAIServer(models=frozenset({"big"})) as server:
        no_model = probe(server)
    assert (no_model.key_ok, no_model.model_known) == (True, False)
    assert "`tiny` does not exist" in str(no_model.problem)
    assert not wrong_key.usable
    assert not no_model.usable


@pytest.mark.parametrize("fault", ["500", "html", "not_json", "short_body", "no_choices"])
def test_a_broken_server_is_not_usable_and_the_report_says_why(fault: str) -> None:
    with OpenAIServer(faults=always(fault)) as server:
        report = probe(server)
    assert not report.usable
    assert report.problem


def test_a_missing_server_is_not_reachable() -> None:
    server = OpenAIServer()
    server.close()
    report = probe(server)
    assert report.reachable is False
    assert report.problem


def test_without_a_configured_llm_endpoint_the_error_names_the_ways_out() -> None:
    with pytest.raises(LLMEndpointError, match="local-llm"):
        probe_llm_endpoint(LLMEndpointSettings(), None)
