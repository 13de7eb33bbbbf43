"""How a run's parameters become each stage's configuration."""

import os
from pathlib import Path

import pytest
import yaml
from pydantic import JsonValue

from components.inputs import SECTIONS, addresses, stage_yaml, version, worst_deployed
from components.parameters import Form, run_config
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config, preset_names
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ConfigError, InputError
from embedtune.core.secrets import Secrets
from embedtune.core.stage import STAGE_NAMES


def configured(**overrides: JsonValue) -> Config:
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    return run_config(Form("minilm", overrides=given))


def stage_settings(**overrides: JsonValue) -> dict[str, str]:
    config = configured(**overrides)
    return {stage: stage_yaml(config, stage) for stage in SECTIONS}


def test_every_stage_gets_a_configuration() -> None:
    assert tuple(name for name in SECTIONS if name != "encode") == STAGE_NAMES


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_a_stage_sees_its_own_section_unchanged(preset: str, stage: str) -> None:
    config = run_config(Form(preset, overrides={"contract": {"revision": "a" * 40}}))
    seen = parse_config(yaml.safe_load(stage_yaml(config, stage)))
    for section in ("contract", "seed", "storage", "runtime", *SECTIONS[stage]):
        assert getattr(seen, section) == getattr(config, section)


def test_only_what_decides_vectors_has_the_passages_encoded_again() -> None:
    before = stage_settings()["encode"]
    asked = stage_settings(generate__questions_per_chunk=2, train__epochs=1, storage__kept="s3://bucket/kept")
    assert asked["encode"] == before
    for changed in ({"contract__max_length": 128}, {"runtime__precision": "bf16"}, {"base__force": ["pooling"]}):
        assert stage_settings(**changed)["encode"] != before


def test_new_training_settings_leave_the_paid_stages_in_the_cache() -> None:
    before, after = stage_settings(), stage_settings(train__learning_rate=3e-4, evaluate__examples=3)
    changed = [stage for stage in SECTIONS if before[stage] != after[stage]]
    assert changed == ["mine", "train", "evaluate", "export", "deploy"]


def test_a_place_for_what_was_paid_for_leaves_all_but_its_users_in_the_cache() -> None:
    before, after = stage_settings(), stage_settings(storage__kept="s3://bucket/kept")
    assert [stage for stage in SECTIONS if before[stage] != after[stage]] == ["generate", "train"]


def test_new_serving_settings_leave_all_but_the_deployment_in_the_cache() -> None:
    before, after = stage_settings(), stage_settings(serve__instances=2, deploy__smoke_texts=64)
    assert [stage for stage in SECTIONS if before[stage] != after[stage]] == ["deploy"]


@pytest.mark.parametrize(
    ("release_uri", "deploy_if", "wanted"),
    [
        ("", "win", "never"),
        ("s3://b/r", "win", "win"),
        ("s3://b/r", "marginal", "marginal"),
        ("s3://b/r", "never", "never"),
    ],
)
def test_what_is_deployed(release_uri: str, deploy_if: str, wanted: str) -> None:
    config = run_config(Form("minilm", fields={"release_uri": release_uri}, deploy_if=deploy_if))
    assert worst_deployed(config, deploy_if, {}) == wanted


def test_a_run_in_a_cluster_deploys_there_and_starts_no_local_triton() -> None:
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    fields = {"release_uri": "s3://b/r"}
    inside = run_config(Form("minilm", fields=fields), in_cluster=True)
    assert inside.deploy.target == "kubernetes"
    assert worst_deployed(inside, "win", pod) == "win"
    local = run_config(Form("minilm", fields=fields, overrides={"deploy.target": "local"}), in_cluster=True)
    with pytest.raises(ConfigError, match=r"leave deploy\.target out"):
        worst_deployed(local, "win", pod)
    assert worst_deployed(configured(), "win", pod) == "never"
    assert run_config(Form("minilm", fields=fields)).deploy.target == "local"


def test_the_text_of_a_stage_is_short_and_means_the_same() -> None:
    text = stage_yaml(configured(train__epochs=2), "train")
    assert "epochs: 2" in text and "weight_decay" not in text
    assert len(text) < 1500


def test_mine_accepts_fewer_negatives_when_train_wants_fewer() -> None:
    # Alone, mine.min_negatives=2 contradicts the default of train.negatives.
    settings = stage_settings(mine__min_negatives=2, train__negatives=2)
    parsed = {name: parse_config(yaml.safe_load(text)) for name, text in settings.items()}
    assert (parsed["mine"].mine.min_negatives, parsed["train"].train.negatives) == (2, 2)


def test_evaluation_sets_keep_their_order() -> None:
    sets = addresses("human=s3://data/fiqa\n\nfaq=/mnt/faq\n")
    assert list(sets.items()) == [("human", "s3://data/fiqa"), ("faq", "/mnt/faq")]


@pytest.mark.parametrize("wrong", ["s3://data/fiqa", "=s3://data/fiqa", "human=", "a=x\na=y", "synthetic=x"])
def test_a_wrong_evaluation_set_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError):
        addresses(wrong)


def folder_version(*folders: Path) -> str:
    return version([str(folder) for folder in folders], StorageSettings(), Secrets())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    for name in ("docs/a.md", "docs/deep/b.md"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1, 1))
    return tmp_path / "docs"


def test_a_version_is_reproducible_and_does_not_depend_on_the_folder(folder: Path) -> None:
    before = folder_version(folder)
    assert folder_version(folder) == before
    assert folder_version(folder.rename(folder.with_name("moved"))) == before


@pytest.mark.parametrize("name", ["a.md", "deep/b.md", "c.md"])
def test_a_version_changes_with_any_file(folder: Path, name: str) -> None:
    before = folder_version(folder)
    (folder / name).write_text("other")
    assert folder_version(folder) != before


def test_a_version_changes_with_a_file_that_is_gone(folder: Path) -> None:
    before = folder_version(folder)
    (folder / "a.md").unlink()
    assert folder_version(folder) != before


def test_the_order_of_evaluation_sets_counts(folder: Path) -> None:
    # The first one decides the verdict.
    assert folder_version(folder, folder / "deep") != folder_version(folder / "deep", folder)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no files in this folder"):
        folder_version(tmp_path)
