"""What a person types into the form of a run; a field loses line breaks when text is pasted into it."""

from typing import Any

import pytest

from components.parameters import SETTINGS, Form, address, eval_set_lines, run_config, word
from embedtune.core.config.load import load_config
from embedtune.core.errors import ConfigError


def pasted(text: str) -> str:
    """Return what a one-line field leaves of pasted text: a browser makes line breaks blanks."""
    return text.replace("\n", " ")


def config_of(**fields: Any) -> Any:
    return run_config(Form("minilm", fields=fields))


def test_an_empty_form_is_the_preset() -> None:
    assert run_config(Form("minilm")) == load_config("minilm")
    assert config_of(**dict.fromkeys(SETTINGS, "")) == load_config("minilm")
    assert run_config(Form(" minilm ", base_model="gte-small")) == load_config("minilm+gte-small")


def test_every_field_sets_its_setting() -> None:
    config = config_of(
        llm_url=" http://llm:8000/v1 ",
        llm_model="qwen",
        judge_url="http://judge:8000/v1",
        judge_model="other",
        storage_endpoint="minio:9000",
        release_uri="minio://bucket/releases",
        endpoint_url="http://triton:8080",
    )
    assert (config.generate.llm.base_url, config.generate.llm.model) == ("http://llm:8000/v1", "qwen")
    assert (config.generate.judge.base_url, config.generate.judge.model) == ("http://judge:8000/v1", "other")
    assert (config.storage.endpoint, config.storage.secure) == ("minio:9000", True)
    assert (config.release.uri, config.deploy.endpoint) == ("s3://bucket/releases", "http://triton:8080")
    assert run_config(Form("minilm", storage_tls=False)).storage.secure is False
    assert run_config(Form("minilm", deploy_if="marginal")).deploy.accept == "marginal"


def test_overrides_may_be_dotted_or_nested() -> None:
    dotted = run_config(Form("minilm", overrides={"train.epochs": 5.0, "train.learning_rate": 1e-5, "seed": 7}))
    nested = run_config(Form("minilm", overrides={"train": {"epochs": 5.0, "learning_rate": 1e-5}, "seed": 7}))
    assert dotted == nested
    assert (dotted.train.epochs, dotted.train.learning_rate, dotted.seed) == (5, 1e-5, 7)
    for null in (None, "null"):  # the KFP SDK refuses None, its UI does not
        unset = run_config(Form("minilm", overrides={"generate.llm.temperature": null}))
        assert unset.generate.llm.temperature is None
    text = run_config(Form("minilm", overrides={"generate.domain": "valves: 3 of them"}))
    assert text.generate.domain == "valves: 3 of them"


@pytest.mark.parametrize("name", ["llm_url", "llm_model", "storage_endpoint"])
def test_two_values_in_one_field_are_refused_by_its_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} takes one value"):
        config_of(**{name: pasted("first\nsecond")})


@pytest.mark.parametrize("text", ["s3://a/b\ns3://c/d", "/data/a\n/data/b", "s3://a/b\nminio://c/d"])
def test_two_addresses_in_one_field_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="documents takes one address"):
        address("documents", pasted(text))


def test_an_address_may_have_blanks_and_the_ui_s_scheme() -> None:
    assert address("documents", " s3://bucket/our documents \n") == "s3://bucket/our documents"
    assert address("champion", "minio://mlpipeline/v2/x") == "s3://mlpipeline/v2/x"
    assert word("llm_model", "\tqwen\n") == "qwen"


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"train.epochs": pasted("5\nmine.depth=100")}, r"train\.epochs and mine\.depth"),
        ({"train": {"epochs": pasted("5\nmine.depth: 100")}}, r"train\.epochs and mine\.depth"),
        ({pasted("train.epochs=5\nseed=7"): ""}, r"train\.epochs=5 seed=7"),
        ({"train.epoch": 5}, r"train\.epoch: unknown key"),
    ],
)
def test_settings_that_run_together_and_unknown_ones_are_refused_by_name(
    overrides: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        run_config(Form("minilm", overrides=overrides))


def test_addresses_in_overrides_may_be_spelt_as_the_ui_shows_them() -> None:
    config = run_config(Form("minilm", overrides={"storage": {"kept": "minio://bucket/kept"}}))
    assert config.storage.kept == "s3://bucket/kept"
    nested = run_config(Form("minilm", overrides={"generate.domain": "what minio:// means"}))
    assert nested.generate.domain == "what minio:// means"


def test_a_setting_in_a_field_and_another_value_in_overrides_contradict() -> None:
    fields = {"llm_model": "qwen"}
    with pytest.raises(ConfigError, match=r"generate\.llm\.model is set twice"):
        run_config(Form("minilm", fields=fields, overrides={"generate.llm.model": "other"}))
    same = run_config(Form("minilm", fields=fields, overrides={"generate": {"llm": {"model": "qwen"}}}))
    assert same.generate.llm.model == "qwen"


def test_a_verdict_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"deploy_if is not a verdict(.|\n)*win, marginal, never"):
        run_config(Form("minilm", deploy_if="better"))


def test_evaluation_sets_keep_their_order() -> None:
    sets = eval_set_lines([" human=minio://data/fiqa", "faq=/mnt/our faq "])
    assert sets == "human=s3://data/fiqa\nfaq=/mnt/our faq"
    assert eval_set_lines([]) == ""


@pytest.mark.parametrize("entry", [pasted("a=s3://x\nb=s3://y"), {"a": "s3://x"}, 5])
def test_an_entry_that_is_not_one_evaluation_set_is_refused(entry: Any) -> None:
    with pytest.raises(ConfigError, match="not one evaluation set"):
        eval_set_lines([entry])
