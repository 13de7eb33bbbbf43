"""The probe: what `embedtune doctor` finds out about an LLM endpoint."""

from typing import Any

import pytest

from embedtune.core.config.generate import GenerateSettings, LLMEndpointSettings
from embedtune.core.errors import LLMEndpointError
from embedtune.generate.trial import trial_requests
from embedtune.llm.errors import ItemError
from embedtune.llm.probe import LLMEndpointReport, probe_llm_endpoint
from tests.support import openai_providers as providers
from tests.support.openai_replies import always
from tests.support.openai_server import OpenAIServer

WRITING, JUDGING = trial_requests(GenerateSettings())


def probe(server: OpenAIServer, key: str | None = None, **changed: Any) -> LLMEndpointReport:
    fields = {"base_url": server.url, "model": "tiny", "timeout_s": 60, "retries": 0, **changed}
    return probe_llm_endpoint(LLMEndpointSettings.model_validate(fields), key, [WRITING, JUDGING])


def test_a_good_llm_endpoint_gets_the_requests_of_a_run_and_is_measured() -> None:
    with OpenAIServer(api_key="k", models=frozenset({"tiny"}), delay_s=0.01) as server:
        report = probe(server, "k")
        assert [call.body["messages"] for call in server.calls[:2]] == [WRITING.messages, JUDGING.messages]
        assert len(server.calls) == 3
    assert report.json_schema
    assert report.latency_s > 0.01
    assert report.tokens_per_s is not None
    assert report.tokens_per_s > 0


def test_the_form_that_a_server_needs_is_found_and_said() -> None:
    with OpenAIServer(json_schema=False, max_tokens=False) as server:
        report = probe(server)
    assert not report.json_schema
    assert report.form == "json_object and the schema in the prompt, max_completion_tokens"


def test_a_server_that_ignores_json_schema_is_detected() -> None:
    with OpenAIServer(provider=providers.ignoring_schema) as server:
        assert not probe(server).json_schema


@pytest.mark.parametrize("fault", ["wrong_schema", "truncated", "refusal", "500", "html", "no_choices"])
def test_what_generate_would_fail_at_is_a_failure(fault: str) -> None:
    with OpenAIServer(faults=always(fault)) as server, pytest.raises(ItemError):
        probe(server)


def test_a_wrong_key_and_an_unknown_model_are_distinguished() -> None:
    with OpenAIServer(api_key="k") as server, pytest.raises(LLMEndpointError, match="API key") as caught:
        probe(server, "sk-wrong-310")
    assert "sk-wrong-310" not in str(caught.value)
    with OpenAIServer(models=frozenset({"big"})) as server, pytest.raises(LLMEndpointError, match="not know"):
        probe(server)


def test_a_missing_server_is_not_reachable() -> None:
    server = OpenAIServer()
    server.close()
    with pytest.raises(LLMEndpointError, match="cannot be reached"):
        probe(server)


def test_without_a_configured_llm_endpoint_the_error_names_the_ways_out() -> None:
    with pytest.raises(LLMEndpointError, match="local-llm"):
        probe_llm_endpoint(LLMEndpointSettings(), None, [WRITING])
