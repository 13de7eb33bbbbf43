"""How a run's parameters become each stage's configuration."""

import os
from pathlib import Path

import pytest
import yaml

from components.inputs import SECTIONS, addresses, deploy_if, read_config, stage_yaml, version
from embedtune.core.config.load import parse_config, preset_names, preset_text
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ConfigError, InputError
from embedtune.core.secrets import Secrets
from embedtune.core.stage import STAGE_NAMES


def stage_settings(overrides: str = "") -> dict[str, str]:
    config = read_config("minilm", overrides)
    return {stage: stage_yaml(config, stage) for stage in SECTIONS}


def test_a_preset_name_and_its_yaml_text_give_the_same_configuration() -> None:
    assert read_config("minilm", "") == read_config(preset_text("minilm"), "")


def test_overrides_are_lines_and_blank_lines_do_not_count() -> None:
    config = read_config("minilm", "train.epochs=1\n\n  seed=7  \n")
    assert (config.train.epochs, config.seed) == (1, 7)


def test_a_wrong_preset_is_refused_with_the_right_names() -> None:
    with pytest.raises(ConfigError, match=r"no such preset(.|\n)*minilm"):
        read_config("minlm", "")


def test_a_wrong_key_in_yaml_text_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"train\.epoch: unknown key"):
        read_config(preset_text("minilm") + "\ntrain:\n  epoch: 3\n", "")


def test_every_stage_gets_a_configuration() -> None:
    assert tuple(SECTIONS) == STAGE_NAMES


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_a_stage_sees_its_own_section_unchanged(preset: str, stage: str) -> None:
    config = read_config(preset, f"contract.revision={'a' * 40}")
    seen = parse_config(yaml.safe_load(stage_yaml(config, stage)))
    for section in ("contract", "seed", "storage", "runtime", *SECTIONS[stage]):
        assert getattr(seen, section) == getattr(config, section)


def test_new_training_settings_leave_the_paid_stages_in_the_cache() -> None:
    before, after = stage_settings(), stage_settings("train.learning_rate=1e-4\nevaluate.examples=3")
    changed = [stage for stage in SECTIONS if before[stage] != after[stage]]
    assert changed == ["mine", "train", "evaluate", "export", "deploy"]


def test_new_serving_settings_leave_all_but_the_deployment_in_the_cache() -> None:
    before, after = stage_settings(), stage_settings("serve.instances=2\ndeploy.smoke_texts=64")
    assert [stage for stage in SECTIONS if before[stage] != after[stage]] == ["deploy"]


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        ("", "never"),
        ("release.uri=s3://b/r", "win"),
        ("release.uri=s3://b/r\ndeploy.accept=marginal", "marginal"),
    ],
)
def test_what_is_deployed(overrides: str, wanted: str) -> None:
    assert deploy_if(read_config("minilm", overrides), {}) == wanted


def test_a_pod_does_not_start_a_local_triton() -> None:
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    local = "release.uri=s3://b/r"
    with pytest.raises(ConfigError, match=r"deploy\.target=kubernetes"):
        deploy_if(read_config("minilm", local), pod)
    assert deploy_if(read_config("minilm", f"{local}\ndeploy.target=kubernetes"), pod) == "win"
    assert deploy_if(read_config("minilm", ""), pod) == "never"


def test_mine_accepts_fewer_negatives_when_train_wants_fewer() -> None:
    # Alone, mine.min_negatives=2 contradicts the default of train.negatives.
    settings = stage_settings("mine.min_negatives=2\ntrain.negatives=2")
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
