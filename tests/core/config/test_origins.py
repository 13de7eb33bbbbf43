"""Where the value of a setting comes from."""

from pathlib import Path

import yaml

from embedtune.core.config.keys import keys
from embedtune.core.config.load import layers, load_config, preset_names, preset_text
from embedtune.core.config.origins import settings_of


def origins(source: str | Path, *overrides: str) -> dict[str, str]:
    config = load_config(source, overrides)
    return {entry.key: entry.origin for entry in settings_of(source, overrides, config, config)}


def test_each_layer_is_named() -> None:
    found = origins("minilm+gte-small", "train.epochs=1", "generate.llm.extra={reasoning_effort: low}")
    assert found["train.loss"] == "preset minilm"
    assert found["contract.base_model"] == found["contract.pooling"] == "base gte-small"
    assert found["train.epochs"] == found["generate.llm.extra"] == "--set"
    assert found["mine.negatives"] == found["generate.mask"] == "default"
    assert "generate.judge.model" not in found  # the section is unset


def test_a_file_is_named_and_only_for_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "our.yaml"
    path.write_text(preset_text("minilm"))
    found = origins(path)
    assert (found["train.loss"], found["train.epochs"]) == (str(path), "default")


def test_values_are_those_that_are_used_and_the_environment_is_named() -> None:
    loaded = load_config("minilm")
    llm = loaded.generate.llm.model_copy(update={"base_url": "http://llm/v1"})
    used = loaded.model_copy(update={"generate": loaded.generate.model_copy(update={"llm": llm})})
    found = {entry.key: entry for entry in settings_of("minilm", [], loaded, used)}
    assert (found["generate.llm.base_url"].value, found["generate.llm.base_url"].origin) == (
        "http://llm/v1",
        "environment",
    )
    assert found["contract.dimensions"].value == [384]
    assert set(found) <= set(keys())


def test_the_layers_of_a_preset_make_the_preset() -> None:
    for preset in preset_names():
        parts = [yaml.safe_load(text) or {} for _, text in layers(preset)]
        whole = yaml.safe_load(preset_text(preset))
        assert {section for part in parts for section in part} == set(whole)
