"""The LLM client against a router (OpenRouter) that has no provider for a request."""

import pytest

from embedtune.core.errors import LLMEndpointError
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient
from tests.support import openai_providers as providers
from tests.support.llm_client import QUICK, outcome, request, run, settings
from tests.support.openai_replies import Call
from tests.support.openai_responses import Response, json_response
from tests.support.openai_server import OpenAIServer


@pytest.mark.parametrize(
    ("supported", "structure", "left", "refused"),
    [
        (("temperature", "top_p", "json_object"), "json_object", {"temperature", "top_p", "max_tokens"}, 1),
        (("temperature", "top_p"), "none", {"temperature", "top_p", "max_tokens"}, 2),
        ((), "none", {"max_tokens"}, 3),
    ],
)
def test_a_router_without_a_provider_for_the_parameters_gets_fewer_of_them(
    cache: ResponseCache, supported: tuple[str, ...], structure: str, left: set[str], refused: int
) -> None:
    with OpenAIServer(provider=providers.openrouter_parameters(*supported)) as server:
        run(LLMClient(settings(server), None, cache, pacing=QUICK), request("one"), request("two"))
        assert len(server.calls) == refused + 2
        last = server.calls[-1]
    assert (providers.structure(last), {"temperature", "top_p", "max_tokens"} & set(last.body)) == (
        structure,
        left,
    )
    assert providers.is_told(last)


@pytest.mark.parametrize(
    "words",
    [
        "No endpoints found matching your data policy. Configure: https://openrouter.ai/settings/privacy",
        "No allowed providers are available for the selected model.",
    ],
)
def test_a_router_that_may_use_no_provider_stops_the_run_and_says_what_to_check(
    cache: ResponseCache, words: str
) -> None:
    def refusing(call: Call) -> Response:
        return json_response(404, {"error": {"message": words, "code": 404}})

    with OpenAIServer(provider=refusing) as server:
        error = outcome(LLMClient(settings(server), None, cache, pacing=QUICK), request())
        assert len(server.calls) == 1
    assert isinstance(error, LLMEndpointError)
    for part in (words, "has no provider", "generate.llm.extra", "privacy settings"):
        assert part in str(error)
