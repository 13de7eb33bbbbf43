"""The local runner: which stages a job means, and what it does to a work directory."""

from pathlib import Path

import pytest

from embedtune.core.errors import ConfigError, InputError
from embedtune.core.secrets import Secrets
from embedtune.runner import STAGE_NAMES, STAGES, Job, _forced, _locked


def job(config, work: Path, **change) -> Job:
    return Job(**({"work": work, "config": config, "secrets": Secrets(), "source": "docs"} | change))


def test_each_stage_reads_only_what_an_earlier_one_wrote():
    written: set[str] = set()
    for stage in STAGES:
        assert set(stage.inputs) <= written
        written.add(stage.artifact)
    assert STAGE_NAMES == ("ingest", "generate", "split", "mine", "train", "evaluate", "export", "deploy")


def test_from_and_to_bound_the_stages(config, tmp_path):
    assert [s.name for s in job(config, tmp_path, first="mine", last="train").stages()] == ["mine", "train"]
    with pytest.raises(ConfigError, match="no stage to run"):
        job(config, tmp_path, first="train", last="mine").stages()


def test_a_run_that_names_no_last_stage_changes_nothing_that_is_live(config, tmp_path):
    assert [stage.name for stage in job(config, tmp_path).stages()][-1] == "evaluate"


def test_ingest_needs_documents(config, tmp_path):
    with pytest.raises(InputError, match="no documents"):
        job(config, tmp_path, source=None).stages()
    assert job(config, tmp_path, source=None, first="mine").stages()


def test_a_dataset_of_ones_own_starts_at_mine(config, tmp_path):
    with pytest.raises(ConfigError, match="--from mine"):
        job(config, tmp_path, dataset=tmp_path).stages()
    assert job(config, tmp_path, dataset=tmp_path, first="mine").stages()


def test_two_runs_do_not_share_a_work_directory(tmp_path):
    with _locked(tmp_path), pytest.raises(InputError, match="another run"), _locked(tmp_path):
        pass
    with _locked(tmp_path):
        pass


@pytest.mark.parametrize("fails", [False, True])
def test_force_hides_the_old_output_and_gives_it_back_if_the_run_fails(config, tmp_path, fails):
    output = tmp_path / "triplets"
    output.mkdir()
    (output / "old").touch()
    (tmp_path / "cache" / "mine").mkdir(parents=True)
    mine = next(stage for stage in STAGES if stage.name == "mine")
    try:
        with _forced(job(config, tmp_path, force=True), mine):
            assert not output.exists()
            assert not (tmp_path / "cache" / "mine").exists()
            if fails:
                raise KeyboardInterrupt
            output.mkdir()
            (output / "new").touch()
    except KeyboardInterrupt:
        assert fails
    assert [path.name for path in output.iterdir()] == ["old" if fails else "new"]
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_secrets_are_not_shown():
    assert "hunter2" not in repr(Secrets(llm_api_key="hunter2", s3_secret_key="hunter2"))
