"""The local runner: which stages it runs for a job, and what it does to a work directory."""

from pathlib import Path

import pytest

from embedtune.core.comparisons import Comparisons
from embedtune.core.config.load import parse_config
from embedtune.core.errors import ConfigError, EmbedtuneError, InputError
from embedtune.core.progress import SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.core.stage import STAGE_NAMES, STAGES
from embedtune.local.runner import Job, _forced, locked, run
from tests.split.test_labelled import own, write_beir

ENDPOINT = {"generate": {"llm": {"base_url": "http://127.0.0.1:9/v1", "model": "test"}}}


def job(config, work: Path, **change) -> Job:
    return Job(**({"work": work, "config": config, "secrets": Secrets(), "source": "docs"} | change))


def test_each_stage_reads_only_what_an_earlier_stage_wrote():
    written: set[str] = set()
    for stage in STAGES:
        assert set(stage.inputs) <= written
        written.add(stage.artifact)
    assert STAGE_NAMES == ("ingest", "generate", "split", "mine", "train", "evaluate", "export", "deploy")


def test_a_job_runs_from_its_first_to_its_last_stage(config, tmp_path):
    assert [s.name for s in job(config, tmp_path, first="mine", last="train").stages()] == ["mine", "train"]
    with pytest.raises(ConfigError, match="no stage to run"):
        job(config, tmp_path, first="train", last="mine").stages()


def test_by_default_a_run_changes_nothing_that_is_live(config, tmp_path):
    assert [stage.name for stage in job(config, tmp_path).stages()][-1] == "evaluate"


def test_ingest_needs_documents(config, tmp_path):
    with pytest.raises(InputError, match="no documents"):
        job(config, tmp_path, source=None).stages()
    assert job(config, tmp_path, source=None, first="mine").stages()


def test_a_stage_that_does_not_exist_is_refused_with_a_suggestion(config, tmp_path):
    with pytest.raises(ConfigError, match="did you mean mine"):
        Job(tmp_path, config, Secrets(), first="mien").stages()
    with pytest.raises(ConfigError, match="no such stage"):
        Job(tmp_path, config, Secrets(), last="").stages()


def test_a_file_is_not_a_work_directory(config, tmp_path):
    (tmp_path / "work").write_text("mine")
    with pytest.raises(InputError, match="not a directory"):
        run(Job(tmp_path / "work", config, Secrets(), source="docs", last="ingest"), SilentProgress())
    assert (tmp_path / "work").read_text() == "mine"


def test_a_run_on_a_users_dataset_starts_at_mine(config, tmp_path):
    with pytest.raises(ConfigError, match="--from mine"):
        job(config, tmp_path, dataset=tmp_path).stages()
    assert job(config, tmp_path, dataset=tmp_path, first="mine").stages()


@pytest.mark.parametrize(
    ("settings", "comparisons", "says"),
    [
        ({}, {}, "no LLM endpoint is configured"),
        ({"generate": {"recording": "nowhere.gz"}}, {}, "recording does not exist"),
        ({"generate": {"styles": {"rhyme": 1}}}, {}, "unknown labels"),
        ({"generate": ENDPOINT["generate"] | {"reviews": "nowhere.jsonl"}}, {}, "reviews"),
        (ENDPOINT | {"evaluate": {"decide_on": "ours"}}, {}, "decide_on"),
        (ENDPOINT, {"eval_sets": {"ours": Path("nowhere")}}, "not complete"),
        (ENDPOINT, {"champion": Path("nowhere")}, "no encoder contract"),
    ],
)
def test_errors_of_late_stages_are_raised_before_the_first_stage(config, tmp_path, settings, comparisons, says):
    changed = parse_config(config.model_dump(exclude=set(settings)) | settings)
    wanted = job(changed, tmp_path / "work", source=str(tmp_path), comparisons=Comparisons(**comparisons))
    with pytest.raises(EmbedtuneError, match=says):
        run(wanted, SilentProgress(), before=no_stage, after=no_stage)
    assert not wanted.work.exists()


def test_reviews_in_the_work_directory_that_cannot_be_read_are_found_before_the_first_stage(config, tmp_path):
    changed = parse_config(config.model_dump(exclude={"generate"}) | ENDPOINT)
    wanted = job(changed, tmp_path / "work", source=str(tmp_path))
    wanted.work.mkdir()
    (wanted.work / "reviews.jsonl").write_text('{"question_id": 3}\n')
    with pytest.raises(EmbedtuneError, match=r"reviews\.jsonl:1"):
        run(wanted, SilentProgress(), before=no_stage, after=no_stage)


def test_what_is_left_out_of_a_users_dataset_is_said_before_the_first_stage(config, tmp_path):
    passages, queries, qrels = own(20)
    queries["q5"] = " "
    folder = write_beir(tmp_path / "own", {"train": qrels}, passages, queries)
    reports = []

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    fits = parse_config({"contract": {**config.contract.model_dump(), "max_length": 256}})
    wanted = job(fits, tmp_path / "work", source=None, dataset=folder, first="mine", last="mine")
    with pytest.raises(KeyboardInterrupt):
        run(wanted, SilentProgress(), before=stop, after=reports.append)
    assert "1 queries without any word were left out: q5" in reports[0].notes


def no_stage(*_: object) -> None:
    pytest.fail("a stage was started")


def test_two_runs_do_not_share_a_work_directory(tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match="another run"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("fails", [False, True])
def test_force_moves_the_old_output_away_and_restores_it_if_the_stage_fails(config, tmp_path, fails):
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
