"""What a run is given is checked against the compiled pipeline, and against the settings behind its fields."""

from pathlib import Path
from typing import Any

import pytest

from embedtune.core.errors import ConfigError, InputError
from pipelines.form import check_form, form_config
from pipelines.specification import (
    COMPILED,
    Specification,
    load_parameters,
    load_specification,
    read_specification,
)


@pytest.fixture(scope="module")
def cpu() -> Specification:
    return load_specification(COMPILED / "finetune-cpu.yaml")


def test_the_tasks_are_those_of_the_ui_without_conditions(cpu: Specification) -> None:
    assert {"prepare", "ingest", "generate", "train", "evaluate", "export", "deploy", "outcome"} <= set(cpu.tasks)
    assert not [name for name in cpu.tasks if name.startswith("condition")]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"document": "s3://b/docs"}, ["has no parameter document", "did you mean documents?"]),
        ({"preset": "minilm"}, ["needs a value for documents"]),
        ({"documents": 7}, ["documents has a value of the wrong type", 'documents: "7"']),
        ({"documents": None}, ["documents has a value of the wrong type", "None"]),
        ({"documents": "a", "storage_tls": "no"}, ["storage_tls has a value of the wrong type", "true or false"]),
        ({"documents": "a", "eval_sets": "human=s3://b/h"}, ["eval_sets has a value of the wrong type", "a list"]),
        ({"documents": "a", "overrides": ["a"]}, ["overrides has a value of the wrong type", "a mapping"]),
        ({"documents": "a", "preset": "minlm"}, ["preset has none of its values", "did you mean minilm?"]),
        ({"documents": "a", "deploy_if": "always"}, ["deploy_if has none of its values", "win, marginal, never"]),
    ],
)
def test_a_value_that_kubeflow_would_not_take_is_refused(
    cpu: Specification, given: dict[str, Any], says: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        cpu.values(given, {})
    for words in says:
        assert words in str(refused.value)


def test_text_from_the_command_line_is_read_by_the_type_of_its_parameter(cpu: Specification) -> None:
    typed = {
        "documents": "7",
        "storage_tls": "false",
        "eval_sets": "[a=s3://b/a]",
        "overrides": "{train.epochs: 5}",
    }
    assert cpu.values({"documents": "old"}, typed) == {
        "documents": "7",
        "storage_tls": False,
        "eval_sets": ["a=s3://b/a"],
        "overrides": {"train.epochs": 5},
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"overrides": {"train.epoch": 5}}, "train.epoch: unknown key"),
        ({"overrides": {"train.epochs": -1}}, "train.epochs"),
        ({"llm_url": "http://a http://b"}, "llm_url takes one value"),
        ({"llm_url": "http://a", "overrides": {"generate.llm.base_url": "http://b"}}, "is set twice"),
        ({"eval_sets": ["a=s3://b/a b=s3://b/b"]}, "not one evaluation set"),
        ({"documents": "s3://b/a s3://b/b"}, "documents takes one address"),
    ],
)
def test_what_prepare_would_refuse_is_refused_before_there_is_a_run(
    cpu: Specification, given: dict[str, Any], says: str
) -> None:
    check_form(cpu, {"documents": "s3://b/docs"})
    with pytest.raises(ConfigError, match=says):
        check_form(cpu, {"documents": "s3://b/docs", **given})


def test_the_settings_of_another_pipeline_are_not_ours_to_check() -> None:
    root = {"dag": {"tasks": {}}, "inputDefinitions": {"parameters": {"overrides": {"parameterType": "STRUCT"}}}}
    other = read_specification({"pipelineInfo": {"name": "other"}, "root": root})
    given: dict[str, Any] = {"overrides": {"train.epoch": 5}}
    assert form_config(other, given) is None
    check_form(other, given)


@pytest.mark.parametrize("text", ["", "a: b", "- a", "[", "pipelineInfo: 7"])
def test_a_file_that_is_no_pipeline_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(text)
    with pytest.raises(InputError):
        load_specification(path)


@pytest.mark.parametrize(
    "text", ['{"overrides": {"train.learning_rate": 1e-7}}', "{overrides: {train.learning_rate: 1.0e-7}}"]
)
def test_small_numbers_in_a_file_of_parameters_are_numbers(text: str, tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text(text)
    assert load_parameters(tmp_path / "params.json") == {"overrides": {"train.learning_rate": 1e-07}}
