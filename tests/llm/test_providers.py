"""The LLM client against the ways in which known servers refuse and reply."""

import asyncio
from typing import Any

import pytest

from embedtune.core.errors import LLMEndpointError
from embedtune.llm.cache import ResponseCache
from embedtune.llm.client import LLMClient, identity_of
from embedtune.llm.errors import ItemError
from embedtune.llm.learned import Learned
from tests.support import openai_providers as providers
from tests.support.llm_client import KEY, QUICK, outcome, request, run, settings
from tests.support.openai_providers import REPLY_FORMS, SCHEMA_REFUSALS, Provider, moderating
from tests.support.openai_replies import Body, Call
from tests.support.openai_responses import Response
from tests.support.openai_server import OpenAIServer

SAMPLING = {"temperature", "top_p", "seed", "max_tokens", "max_completion_tokens"}


def sampling(body: Body) -> set[str]:
    return SAMPLING & set(body)


@pytest.mark.parametrize(
    ("provider", "changed", "left", "refused"),
    [
        (providers.openai_reasoning, {}, {"max_completion_tokens"}, 3),
        (providers.claude, {}, {"temperature", "max_tokens"}, 1),
        (providers.claude_without_sampling, {}, {"max_tokens"}, 2),
        (providers.mistral, {"temperature": 0.0, "seed": 7}, {"temperature", "max_tokens"}, 2),
        (providers.openrouter, {}, {"top_p", "max_tokens"}, 1),
    ],
)
def test_a_parameter_that_a_server_refuses_is_left_out_from_then_on(
    cache: ResponseCache,
    caplog: pytest.LogCaptureFixture,
    provider: Provider,
    changed: Body,
    left: set[str],
    refused: int,
) -> None:
    with OpenAIServer(provider=provider) as server:
        run(LLMClient(settings(server, **changed), None, cache, pacing=QUICK), request("one"), request("two"))
        assert len(server.calls) == refused + 2
        assert [sampling(call.body) for call in server.calls[refused:]] == [left, left]
    said = [record for record in caplog.records if "rejects this form" in record.message]
    assert len(said) == refused
    with OpenAIServer() as other:  # what was left out is not in the key: the reply is the same one
        run(LLMClient(settings(other, **changed), None, cache), request("one"))
        assert other.calls == []


def test_clients_of_one_run_share_what_was_learned(cache: ResponseCache, caplog: pytest.LogCaptureFixture) -> None:
    learned = Learned()

    def ask(server: OpenAIServer, text: str, **changed: Any) -> int:
        before = len(server.calls)
        run(LLMClient(settings(server, **changed), None, cache, pacing=QUICK).share(learned), request(text))
        return len(server.calls) - before

    with OpenAIServer(provider=providers.openai_reasoning) as server:
        assert ask(server, "the first call") == 4  # three forms are refused
        assert ask(server, "all other calls") == 1
        assert ask(server, "a judge, which may be refused other things", temperature=0.0) == 4
        assert ask(server, "another model", model="large") == 4
    said = [record.getMessage() for record in caplog.records if "rejects this form" in record.getMessage()]
    assert len(said) == 4  # the judge's refusal of temperature 0 is the only new one
    assert len(set(said)) == 4


def test_parameters_that_are_not_set_are_not_sent_and_further_ones_are(cache: ResponseCache) -> None:
    fields = {"temperature": None, "top_p": None, "max_tokens": None, "extra": {"reasoning_effort": "low"}}
    more = {"headers": {"X-Title": "kelp"}, "query": {"api-version": "2024-10-21"}, "api_key_header": "api-key"}
    paths: list[str] = []

    def seen(call: Call) -> None:
        paths.append(call.headers["api-key"])
        assert "authorization" not in call.headers
        assert call.headers["x-title"] == "kelp"

    with OpenAIServer(provider=seen) as server:
        run(LLMClient(settings(server, **fields, **more), KEY, cache), request())
        (call,) = server.calls
    assert paths == [KEY]
    assert sampling(call.body) == set()
    assert call.body["reasoning_effort"] == "low"


@pytest.mark.parametrize("name", SCHEMA_REFUSALS)
def test_a_schema_that_a_server_refuses_goes_into_the_prompt(cache: ResponseCache, name: str) -> None:
    with OpenAIServer(provider=SCHEMA_REFUSALS[name]) as server:
        client = LLMClient(settings(server, retries=0), None, cache, pacing=QUICK)
        run(client, request("one"), request("two"))
        last = server.calls[-1]
    assert providers.is_told(last)
    assert providers.structure(last) == ("none" if name == "LM Studio" else "json_object")
    assert server.answered.total() == 2


def test_a_server_that_ignores_the_schema_gets_it_in_the_prompt_after_two_wrong_replies(
    cache: ResponseCache, caplog: pytest.LogCaptureFixture
) -> None:
    with OpenAIServer(provider=providers.ignoring_schema) as server:
        client = LLMClient(settings(server), None, cache, pacing=QUICK)
        run(client, *(request(f"number {n}") for n in range(4)))
        told = [providers.is_told(call) for call in server.calls]
    assert told == [False, True, False, True, True, True]  # two repairs, then from the beginning
    assert len([record for record in caplog.records if "does not keep to" in record.message]) == 1


def test_a_server_without_system_messages_gets_them_in_the_first_user_message(cache: ResponseCache) -> None:
    with OpenAIServer(provider=providers.no_system_role) as server:
        run(LLMClient(settings(server), None, cache), request("what is kelp"))
        (message,) = server.calls[-1].body["messages"]
    assert message == {"role": "user", "content": "Answer.\n\nwhat is kelp"}


@pytest.mark.parametrize("name", REPLY_FORMS)
def test_a_reply_is_read_in_every_form_without_a_repair(cache: ResponseCache, name: str) -> None:
    with OpenAIServer(provider=REPLY_FORMS[name]) as server, OpenAIServer() as plain:
        (answer,) = run(LLMClient(settings(server, model="a"), None, cache), request())
        assert [answer] == run(LLMClient(settings(plain, model="b"), None, cache), request())
        assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (providers.OPENROUTER_FLAG, "moderated", "flagged for"),
        (providers.AZURE_FILTER, "moderated", "content management"),
        (providers.AZURE_EMPTY, "moderated", "content filter"),
        (providers.PLAIN_403, "HTTP 403", "Forbidden"),
        (providers.VLLM_TOO_LONG, "context too long", "3000 input tokens"),
        (providers.LLAMA_CPP_TOO_LONG, "context too long", "exceeded"),
        (providers.TGI_TOO_LONG, "context too long", "3000 `inputs`"),
    ],
)
def test_a_passage_that_a_server_refuses_fails_alone(
    cache: ResponseCache, response: Response, kind: str, words: str
) -> None:
    with OpenAIServer(provider=moderating("KNIFE", response)) as server:
        client = LLMClient(settings(server), None, cache, pacing=QUICK)
        error = asyncio.run(_first_and_rest(client))
        assert len(server.calls) == 3
        assert sampling(server.calls[-1].body) == {"temperature", "top_p", "max_tokens"}  # nothing was learned
    assert isinstance(error, ItemError)
    assert (error.kind, error.transient) == (kind, False)
    assert words in error.detail


async def _first_and_rest(client: LLMClient) -> Exception:
    async with client:
        with pytest.raises(ItemError) as caught:
            await client.ask(request("a KNIFE"))
        await client.ask(request("a spoon"))
        await client.ask(request("a fork"))
        return caught.value


def test_access_denied_again_and_again_stops_the_run_if_nothing_was_answered(cache: ResponseCache) -> None:
    async def scenario(client: LLMClient) -> list[type[Exception]]:
        errors: list[type[Exception]] = []
        async with client:
            for n in range(5):
                try:
                    await client.ask(request(f"number {n}"))
                except (ItemError, LLMEndpointError) as error:
                    errors.append(type(error))
        return errors

    with OpenAIServer(provider=lambda call: providers.PLAIN_403) as server:
        errors = asyncio.run(scenario(LLMClient(settings(server), None, cache, pacing=QUICK)))
    assert errors == [ItemError] * 4 + [LLMEndpointError]


def test_an_error_with_status_200_is_repeated_and_shown_in_its_own_words(cache: ResponseCache) -> None:
    with OpenAIServer(provider=lambda call: providers.RATE_LIMIT_IN_200) as server:
        client = LLMClient(settings(server, retries=2, concurrency=4), None, cache, pacing=QUICK)
        error = outcome(client, request())
        assert len(server.calls) == 3
    assert isinstance(error, ItemError)
    assert (error.kind, error.transient) == ("HTTP 429", True)
    assert "upstream is rate limited" in error.detail
    assert client.limit == 1  # congestion


@pytest.mark.parametrize("name", providers.MISWRITTEN)
def test_a_reply_that_the_server_itself_finds_wrong_is_asked_for_again(cache: ResponseCache, name: str) -> None:
    seen: list[Call] = []

    def respond(call: Call) -> Response | None:
        seen.append(call)
        return providers.MISWRITTEN[name] if len(seen) == 1 else None

    with OpenAIServer(provider=respond) as server:
        client = LLMClient(settings(server), None, cache, pacing=QUICK)
        run(client, request())
    assert [providers.structure(call) for call in seen] == ["json_schema", "json_schema"]  # nothing was learned


@pytest.mark.parametrize("name", providers.MISWRITTEN)
def test_a_server_that_refuses_every_reply_of_its_model_gets_the_schema_in_the_prompt(
    cache: ResponseCache, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with OpenAIServer(provider=providers.unable_to_enforce(providers.MISWRITTEN[name])) as server:
        client = LLMClient(settings(server, retries=2), None, cache, pacing=QUICK)
        run(client, request("one"), request("two"), request("three"))
        structures = [providers.structure(call) for call in server.calls]
        last = server.calls[-1]
    # The first chat goes on without a structure; the second one is refused as a JSON object, the third never.
    first = ["json_schema", "json_schema", "none"]
    assert structures == [*first, "json_object", "json_object", "none", "none"]
    assert providers.is_told(last)
    said = [record.getMessage() for record in caplog.records if "gets no reply of this form" in record.message]
    assert [text.partition("from now on: ")[2].partition(",")[0] for text in said] == [
        "json_object and the schema in the prompt",
        "no response_format and the schema in the prompt",
    ]


def test_a_server_that_refuses_some_replies_of_its_model_keeps_the_schema(cache: ResponseCache) -> None:
    refused = providers.MISWRITTEN["Groq"]

    def respond(call: Call) -> Response | None:
        hard = "hard" in str(call.body["messages"])
        return refused if hard and providers.structure(call) != "none" else None

    with OpenAIServer(provider=respond) as server:
        client = LLMClient(settings(server), None, cache, pacing=QUICK)
        run(client, *(request(text) for text in ("one", "two", "hard", "three")))
        structures = [providers.structure(call) for call in server.calls]
    schema = "json_schema"
    assert structures == [schema, schema, schema, schema, "none", schema]  # only the hard one is sent without


def test_what_is_no_completion_is_named_in_one_line(cache: ResponseCache) -> None:
    body = {"id": "x", "object": "text_completion", "created": 1, "model": "m", "choices": [{"text": "{}"}]}
    with OpenAIServer(provider=lambda call: providers.json_response(200, body)) as server:
        error = outcome(LLMClient(settings(server, retries=0), None, cache), request())
    assert isinstance(error, ItemError)
    assert "not a chat completion: choices.0.message: " in error.detail
    assert "pydantic" not in error.detail


def test_thoughts_without_an_answer_are_named(cache: ResponseCache) -> None:
    provider = providers.replying(lambda text: {"content": None, "reasoning_content": "Let me think."})
    with OpenAIServer(provider=provider) as server:
        error = outcome(LLMClient(settings(server), None, cache), request())
    assert isinstance(error, ItemError)
    assert "reasoning_content" in error.detail


def test_tokens_that_are_no_integers_are_counted(cache: ResponseCache) -> None:
    def respond(call: Call) -> Response:
        body = providers.completion(providers.built_reply(call), None, call)
        return providers.json_response(200, {**body, "usage": {"prompt_tokens": 12.0, "completion_tokens": 3.5}})

    with OpenAIServer(provider=respond) as server:
        client = LLMClient(settings(server), None, cache)
        run(client, request())
    assert (client.usage.prompt_tokens, client.usage.completion_tokens) == (12, 4)


def test_the_keys_of_replies_are_those_of_earlier_versions() -> None:
    identity = identity_of(settings(None, seed=7), request())
    assert identity.older_key(2048) == "7487ebdd86f215098a69c178a7841f610af87032698068ed3b0478229d06137e"
    other = identity_of(settings(None, seed=7, extra={"reasoning_effort": "low"}), request())
    assert other.key != identity.key
    assert other.older_key(2048) != identity.older_key(2048)
