"""Settings of generate: the judge that inherits, headers without keys, and a ceiling that needs prices."""

from typing import Any

import pytest
from pydantic import ValidationError

from embedtune.core.config.config import Config
from embedtune.core.config.generate import GenerateSettings, LLMEndpointSettings
from embedtune.core.secrets import secrets_of
from embedtune.local.environment import apply_environment

LLM: dict[str, Any] = {
    "base_url": "https://one.example/v1",
    "model": "big",
    "api_key_env": "ONE_KEY",
    "headers": {"X-Team": "kelp"},
    "extra": {"reasoning_effort": "low"},
    "top_p": None,
    "max_tokens": 999,
    "price_in": 2.0,
    "price_out": 8.0,
}


def judge_of(**judge: Any) -> LLMEndpointSettings:
    settings = GenerateSettings.model_validate({"llm": LLM, "judge": judge})
    assert settings.judge is not None
    again = GenerateSettings.model_validate(settings.model_dump())  # as a pipeline does it
    assert again == settings
    return settings.judge


def test_a_judge_inherits_what_it_does_not_set_at_temperature_0() -> None:
    judge = judge_of(timeout_s=7)
    assert judge == LLMEndpointSettings.model_validate({**LLM, "temperature": 0.0, "timeout_s": 7})
    assert judge_of(temperature=0.3).temperature == 0.3


def test_another_model_at_the_same_address_has_the_key_and_no_price() -> None:
    judge = judge_of(model="small", base_url="https://ONE.example/other")
    assert (judge.api_key_env, judge.headers, judge.max_tokens) == ("ONE_KEY", {"X-Team": "kelp"}, 999)
    assert (judge.price_in, judge.price_out) == (None, None)


def test_a_judge_at_another_address_never_gets_the_key_of_the_generator() -> None:
    judge = judge_of(base_url="https://two.example/v1")
    assert (judge.model, judge.max_tokens) == ("big", 999)
    assert (judge.api_key_env, judge.headers, judge.extra, judge.price_in) == (None, {}, {}, None)
    assert judge_of(base_url="https://two.example/v1", api_key_env="TWO_KEY").api_key_env == "TWO_KEY"


def test_the_default_variable_is_not_sent_to_another_address_either() -> None:
    judge = {"base_url": "http://127.0.0.1:1/v1", "model": "small"}
    contract = {"base_model": "some/model", "dimensions": [8]}
    config = Config.model_validate({"contract": contract, "generate": {"judge": judge}})
    environment = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://one.example/v1"}
    secrets = secrets_of(apply_environment(config, environment).generate, environment)
    assert (secrets.llm_api_key, secrets.judge_api_key) == ("k", None)


def test_a_judge_without_an_address_takes_that_of_the_environment() -> None:
    contract = {"base_model": "some/model", "dimensions": [8]}
    config = Config.model_validate({"contract": contract, "generate": {"judge": {"model": "small"}}})
    config = apply_environment(config, {"OPENAI_BASE_URL": "https://one.example/v1"})
    assert config.generate.judge is not None
    assert config.generate.judge.base_url == "https://one.example/v1"


@pytest.mark.parametrize("missing", ["price_in", "price_out", "max_tokens"])
def test_a_ceiling_without_prices_is_an_error(missing: str) -> None:
    with pytest.raises(ValidationError, match=rf"generate\.llm\.{missing}"):
        GenerateSettings.model_validate({"llm": {**LLM, missing: None}, "max_cost": 1.0})
    with pytest.raises(ValidationError, match=r"generate\.judge\.price_in"):
        GenerateSettings.model_validate({"llm": LLM, "judge": {"model": "small"}, "max_cost": 1.0})
    assert GenerateSettings.model_validate({"llm": {**LLM, "price_in": 0, "price_out": 0}, "max_cost": 1.0})
    assert GenerateSettings.model_validate({"recording": "sample", "max_cost": 1.0})


@pytest.mark.parametrize("changed", [{"headers": {"API-Key": "k"}}, {"extra": {"temperature": 1}}])
def test_keys_and_fields_of_our_own_do_not_go_where_they_do_not_belong(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LLMEndpointSettings.model_validate(changed)
