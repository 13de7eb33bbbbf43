"""The configuration is strict: unknown keys and values out of range are refused by name."""

from pathlib import Path

import pytest
import yaml

from embedtune.core.config.load import base_names, load_config, parse_config, preset_names, preset_text
from embedtune.core.errors import ConfigError
from embedtune.core.stage import stage_settings

MINIMAL = {"contract": {"base_model": "some/model", "dimensions": [8]}}


def test_the_shipped_presets_are_these():
    assert preset_names() == ["demo-cpu", "llama-embed-1b", "minilm"]


@pytest.mark.parametrize("name", ["demo-cpu", "llama-embed-1b", "minilm"])
def test_every_preset_loads_and_says_how_it_is_used(name):
    assert load_config(name).contract.normalize is True
    assert "embedtune " in preset_text(name).split("\n\n")[0] or "embedtune " in preset_text(name)


def test_the_recipe_preset_has_the_recipes_values():
    config = load_config("llama-embed-1b")
    assert (config.ingest.min_words, config.ingest.max_words) == (200, 500)
    assert (config.mine.negatives, config.mine.margin) == (5, 0.05)
    train = config.train
    assert (train.temperature, train.epochs, train.learning_rate, train.batch_size) == (0.02, 3, 1e-5, 128)
    assert (train.negatives, train.loss) == (4, "own_negatives")
    assert (config.ingest.train_share, config.ingest.dev_share, config.ingest.test_share) == (0.7, 0.1, 0.2)
    assert config.evaluate.k == (1, 5, 10, 100)
    assert (config.contract.query_prefix, config.contract.passage_prefix) == ("query: ", "passage: ")
    assert config.contract.revision is None, "the user pins it; we never invent one"


@pytest.mark.parametrize("base", base_names())
def test_every_base_goes_with_every_preset(base):
    for preset in preset_names():
        own, combined = load_config(preset), load_config(f"{preset}+{base}")
        assert (combined.train, combined.generate, combined.mine) == (own.train, own.generate, own.mine)
        assert combined.contract == load_config(f"minilm+{base}").contract
    text = preset_text(f"minilm+{base}")
    assert "Source: " in text or combined.contract.weights_sha256, "where the contract is from"
    assert combined.contract.revision is None, "the user pins it; we never invent one"


def test_a_bases_chunks_fit_its_length():
    """MiniLM's 256 tokens need short chunks, whatever preset they are combined with; others get the default."""
    assert load_config("llama-embed-1b+all-minilm-l6").ingest.max_words == 180
    assert load_config("minilm+gte-small").ingest.max_words == 500


@pytest.mark.parametrize(("source", "says"), [("minilm+gte-smal", "gte-small"), ("minilm+", "gte-small")])
def test_a_base_that_is_not_shipped_is_refused(source, says):
    with pytest.raises(ConfigError, match="no such base model") as refusal:
        load_config(source)
    assert says in str(refusal.value)


def test_overrides_are_read_as_yaml_and_win():
    config = load_config("minilm", ["train.learning_rate=2e-5", "evaluate.k=[1, 60]", "generate.judge.model=big"])
    assert config.train.learning_rate == 2e-5
    assert config.evaluate.k == (1, 60)
    assert config.generate.judge is not None and config.generate.judge.model == "big"


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("train.learnin_rate=1", ["train.learnin_rate", "unknown key"]),
        ("mine.margin=1.5", ["mine.margin", "1.5", "less than 1"]),
        ("train.loss=triplet", ["train.loss", "'own_negatives', 'in_batch' or 'hybrid'"]),
        ("ingest.min_words=900", ["min_words 900", "max_words 180"]),
        ("train.negatives=9", ["train.negatives 9", "mine.min_negatives 0"]),
        ("ingest.test_share=0.5", ["train_share + dev_share + test_share is 1.3"]),
        ("train.matryoshka=true", ["two sizes in contract.dimensions"]),
        ("generate.styles={question: 0}", ["styles needs at least one positive share"]),
        ("contract.dimensions=[128, 384]", ["the full size first"]),
        ("contract.passage_template=nothing", ["{text}"]),
        ("noequals", ["section.key=value"]),
        ("seed.x=1", ["seed is not a section"]),
    ],
)
def test_a_wrong_setting_is_refused_with_key_value_and_range(override, parts):
    with pytest.raises(ConfigError) as caught:
        load_config("minilm", [override])
    assert caught.value.exit_code == 2
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("train.lerning_rate=1", "train.learning_rate"),
        ("trian.learning_rate=1", "train"),
        ("learning_rate=1", "train.learning_rate"),
        ("lern.rate=1", "train.learning_rate"),
        ("generate.judge.modle=big", "generate.judge.model"),
        ("train.lora.rnak=8", "train.lora.rank"),
        ("mine.learning_rate=1", "train.learning_rate"),
    ],
)
def test_an_unknown_key_names_the_one_that_is_meant(override, meant):
    with pytest.raises(ConfigError, match="unknown key") as caught:
        load_config("minilm", [override])
    assert caught.value.fix == f"did you mean {meant}?"


def test_an_unknown_key_that_is_like_no_other_points_to_the_documentation():
    with pytest.raises(ConfigError, match="unknown key") as caught:
        load_config("minilm", ["zzz=1"])
    assert caught.value.fix is not None and "docs/reference/configuration.md" in caught.value.fix


def test_an_unknown_preset_names_the_known_ones_and_the_one_that_is_meant():
    with pytest.raises(ConfigError, match="demo-cpu, llama-embed-1b, minilm") as caught:
        load_config("mini")
    assert caught.value.fix == "did you mean minilm?"


def test_a_configuration_file_is_loaded(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MINIMAL | {"seed": 7}))
    assert load_config(str(path)).seed == 7


@pytest.mark.parametrize("text", ["- a\n- b\n", "seed: [1\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(str(path))


def test_what_only_changes_speed_or_price_does_not_change_the_questions():
    slow = parse_config(MINIMAL)
    fast = parse_config(
        MINIMAL | {"generate": {"llm": {"concurrency": 99, "price_in": 3.0, "price_out": 9.0}, "max_cost": 1.0}}
    )
    other = parse_config(MINIMAL | {"generate": {"llm": {"temperature": 0.1}}})
    assert stage_settings(slow, "generate") == stage_settings(fast, "generate")
    assert stage_settings(slow, "generate") != stage_settings(other, "generate")


def test_every_setting_is_documented_at_its_field():
    def undocumented(schema):
        for name, section in schema["$defs"].items():
            for key, field in section.get("properties", {}).items():
                if "description" not in field:
                    yield f"{name}.{key}"

    from embedtune.core.config.config import Config

    assert list(undocumented(Config.model_json_schema())) == []


def test_any_file_can_be_a_configuration_whatever_its_name_and_encoding(tmp_path):
    for name, encoding in (("settings.yaml", "utf-8"), ("settings", "utf-16"), ("settings.conf", "utf-8-sig")):
        (tmp_path / name).write_text(preset_text("minilm"), encoding=encoding)
        assert load_config(tmp_path / name) == load_config(str(tmp_path / name)) == load_config("minilm")


@pytest.mark.parametrize("content", [b"\xff\x00\x01", b"a: \xfc", b"[" * 5000])
def test_a_file_that_is_not_yaml_is_refused(tmp_path, content):
    (tmp_path / "settings.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(str(tmp_path / "settings.yaml"))


@pytest.mark.parametrize("source", ["nope.yaml", "folder/minilm", Path("minilm2"), Path("/")])
def test_a_configuration_file_that_does_not_exist_is_not_called_a_preset(source):
    with pytest.raises(ConfigError, match="configuration file does not exist"):
        load_config(source)
