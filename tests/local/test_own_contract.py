"""`embedtune init --base`: the contract is written from the model's own files."""

import json

import pytest
import yaml

from embedtune.core.config.load import base_names, load_config, parse_config
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.weights import weights_sha256
from embedtune.core.errors import ConfigError, ContractError
from embedtune.core.secrets import Secrets
from embedtune.local.own_contract import UNSAID, config_text
from tests.support.architectures import ARCHITECTURES
from tests.support.public_forms import FORMS, make_public_form, write_library_files
from tests.support.tiny_model import make_tiny_model


def written(base, preset="minilm"):
    return parse_config(yaml.safe_load(config_text(preset, str(base), None, Secrets())))


def test_the_contract_is_what_the_files_say(tmp_path):
    base = make_tiny_model(tmp_path / "base")
    prompts = {"query": 'search "query": ', "document": ""}
    write_library_files(base, pooling="cls", prompts=prompts, max_seq_length=48)
    contract = written(base).contract
    assert (contract.base_model, contract.weights_sha256) == (str(base), weights_sha256(base))
    assert (contract.query_prefix, contract.passage_prefix) == ('search "query": ', "")
    assert (contract.pooling, contract.max_length, contract.dimensions) == ("cls", 48, (32,))


@pytest.mark.parametrize("form", FORMS)
def test_a_run_accepts_the_contract(tmp_path, form):
    base = make_public_form(tmp_path / "base", form)
    config = written(base)
    assert config.contract.pooling == "mean"
    assert config.contract.max_length == (128 if form == "sentence-transformers" else 256)
    assert resolve_base(config.contract, config.base, tmp_path, config.storage, Secrets()).is_dir()


def test_what_the_files_do_not_say_is_marked(tmp_path):
    text = config_text("minilm", str(make_tiny_model(tmp_path / "base")), None, Secrets())
    marked = [line.split(":")[0].strip() for line in text.splitlines() if UNSAID in line]
    assert marked == ["query_prefix", "passage_prefix", "pooling"]


def test_prompts_with_names_of_their_own_are_offered(tmp_path):
    base = make_tiny_model(tmp_path / "base")
    write_library_files(base, prompts={"web_search": "Find:\n", "similar": "Alike: "})
    text = config_text("minilm", str(base), None, Secrets())
    line = next(line for line in text.splitlines() if "query_prefix" in line)
    assert line.strip() == (
        'query_prefix: "" # the model\'s files have prompts, choose one: web_search "Find:\\n", similar "Alike: "'
    )


def test_the_other_settings_are_the_presets(tmp_path):
    base = make_tiny_model(tmp_path / "base")
    own, preset = written(base), load_config("minilm")
    assert own.model_copy(update={"contract": preset.contract}) == preset
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 512}))
    settings = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 512}))
    longer = written(base)
    assert longer.contract.max_length == 512
    assert (longer.ingest.min_words, longer.ingest.max_words) == (200, 500)  # the preset's are for 256 tokens
    assert longer.train == preset.train


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"modules": ("Transformer", "Pooling", "LayerNorm", "Normalize")}, "LayerNorm"),
        ({"pooling": "max"}, "max"),
        ({"similarity": "manhattan"}, "manhattan"),
    ],
)
def test_a_model_that_cannot_be_honoured_is_refused(tmp_path, files, says):
    base = make_tiny_model(tmp_path / "base")
    write_library_files(base, **files)
    with pytest.raises(ContractError, match=says):
        written(base)


@pytest.mark.parametrize("base", base_names())
def test_a_known_base_needs_no_model_and_is_pinned_by_the_user(base):
    text = config_text("minilm", base, None, Secrets())
    config = parse_config(yaml.safe_load(text))
    assert config == load_config(f"minilm+{base}")
    assert config.contract.revision is None
    assert text.startswith(f"# {base} on your own documents")
    if config.contract.base_model.startswith("package:"):
        with pytest.raises(ConfigError, match="not loaded from a hub"):
            config_text("minilm", base, "a" * 40, Secrets())
    else:
        pinned = parse_config(yaml.safe_load(config_text("minilm", base, "a" * 40, Secrets())))
        assert pinned.contract == config.contract.model_copy(update={"revision": "a" * 40})


def test_dense_modules_decide_the_dimensions(tmp_path):
    base = ARCHITECTURES["distiluse"].base(tmp_path / "base")
    assert written(base).contract.dimensions == (16,)
