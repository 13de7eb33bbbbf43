"""The steps around every stage: read and verify the inputs, skip what is up to date, write the artifact."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from embedtune.core.artifacts import SCHEMAS, read_artifact, read_manifest, write_artifact
from embedtune.core.code_version import code_version
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.errors import ArtifactError
from embedtune.core.stage import STAGES, Outcome, StageRun, stage_settings
from tests.support.context import context, provenance


class Mining:
    """The work of a stage, counted."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path) -> Outcome:
        self.calls += 1
        (path / "triplets.parquet").write_text(f"call {self.calls}")
        (path / "passages.parquet").write_text("")
        (path / "audit.json").write_text("{}")
        return Outcome({"rows": 3}, {"depth": 7}, ("few rows",), cost_usd=0.25)


@pytest.fixture
def work() -> Mining:
    return Mining()


def mine(tmp_path: Path, config: Config) -> StageRun:
    return StageRun("mine", tmp_path / "triplets", context(config, tmp_path / "cache"))


def changed(config: Config, **sections: object) -> Config:
    return parse_config(config.model_dump(exclude_unset=True) | sections)


def test_what_the_work_reports_is_in_the_manifest(tmp_path, config, work):
    report = mine(tmp_path, config).write({"dataset": "abc"}, work)
    manifest = read_manifest(tmp_path / "triplets", "triplets")
    assert manifest.counts == {"rows": 3}
    assert manifest.report.metrics == report.metrics == {"depth": 7}
    assert manifest.report.notes == ("few rows",)
    assert manifest.report.cost_usd == 0.25
    assert manifest.report.stage == "mine" and report.seconds > 0
    assert datetime.now(UTC) - datetime.fromisoformat(manifest.report.finished) < timedelta(hours=1)


def test_a_stage_with_the_same_inputs_settings_and_code_is_skipped(tmp_path, config, work):
    first = mine(tmp_path, config).write({"dataset": "abc"}, work)
    again = mine(tmp_path, config).write({"dataset": "abc"}, work)
    assert work.calls == 1
    assert again == replace(first, seconds=round(first.seconds, 3))


def test_a_change_of_another_stage_or_of_the_machine_skips_it_too(tmp_path, config, work):
    mine(tmp_path, config).write({"dataset": "abc"}, work)
    other = changed(config, evaluate={"examples": 1}, runtime={"device": "cpu"})
    mine(tmp_path, other).write({"dataset": "abc"}, work)
    assert work.calls == 1


@pytest.mark.parametrize("sections", [{"mine": {"margin": 0.1}}, {"seed": 7}])
def test_other_settings_run_it_again(tmp_path, config, work, sections):
    mine(tmp_path, config).write({"dataset": "abc"}, work)
    mine(tmp_path, changed(config, **sections)).write({"dataset": "abc"}, work)
    assert work.calls == 2


def test_other_inputs_run_it_again(tmp_path, config, work):
    mine(tmp_path, config).write({"dataset": "abc"}, work)
    mine(tmp_path, config).write({"dataset": "other"}, work)
    mine(tmp_path, config).write({"dataset": "other", "model": "abc"}, work)
    assert work.calls == 3


def test_an_artifact_that_is_up_to_date_is_written_again_if_it_must_not_be_reused(tmp_path, config, work):
    mine(tmp_path, config).write({"dataset": "abc"}, work)
    mine(tmp_path, config).write({"dataset": "abc"}, work, reuse=False)
    assert work.calls == 2
    assert (tmp_path / "triplets" / "triplets.parquet").read_text() == "call 2"


def test_work_that_fails_leaves_the_older_artifact(tmp_path, config, work):
    mine(tmp_path, config).write({"dataset": "abc"}, work)

    def fail(path: Path) -> Outcome:
        (path / "triplets.parquet").write_text("half")
        raise ArtifactError("the disk is full")

    with pytest.raises(ArtifactError, match="disk"):
        mine(tmp_path, config).write({"dataset": "other"}, fail)
    assert (tmp_path / "triplets" / "triplets.parquet").read_text() == "call 1"


def test_the_provenance_names_seed_contract_settings_inputs_and_code(tmp_path, config, work):
    mine(tmp_path, config).write({}, work)
    triplets = read_artifact(tmp_path / "triplets", "triplets")
    found = mine(tmp_path, config).provenance({"triplets": triplets, "adapter": "abc"})
    assert found.seed == config.seed and found.contract == config.contract
    assert found.settings == stage_settings(config, "mine")
    assert found.settings["mine"] == config.mine.model_dump(mode="json")
    assert found.inputs == {"adapter": "abc", "triplets": triplets.fingerprint}
    assert found.code_version == code_version("embedtune.mine.stage")


def test_the_code_version_is_that_of_the_module_that_does_the_work(tmp_path, config):
    run = StageRun("ingest", tmp_path, context(config, tmp_path), module="assign_splits")
    assert run.provenance({}).code_version == code_version("embedtune.ingest.assign_splits")


def test_inputs_are_opened_by_the_name_of_their_schema_and_verified(tmp_path, config):
    path = tmp_path / "input"
    with write_artifact(path, "triplets", provenance()) as draft:
        (draft.path / "triplets.parquet").write_text("rows")
        (draft.path / "passages.parquet").write_text("")
        (draft.path / "audit.json").write_text("{}")
    assert mine(tmp_path, config).read(triplets=path)["triplets"].path == path
    with pytest.raises(ArtifactError, match="a different kind of artifact"):
        mine(tmp_path, config).read(dataset=path)
    (path / "triplets.parquet").write_text("edited")
    with pytest.raises(ArtifactError, match="was changed after it was written"):
        mine(tmp_path, config).read(triplets=path)


def test_the_table_of_stages_agrees_with_the_schemas_of_their_artifacts() -> None:
    of_schemas = [(schema.stage, schema.name) for schema in SCHEMAS.values()]
    assert [(stage.name, stage.artifact) for stage in STAGES] == of_schemas
    assert {name for stage in STAGES for name in stage.inputs} <= SCHEMAS.keys()
