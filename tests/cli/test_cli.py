"""The commands other than `run`: what they print, and what they refuse."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from embedtune.cli.stages import STAGE_COMMANDS
from embedtune.cli.views import Summary
from embedtune.core.config.load import load_config
from embedtune.core.progress import rate_text
from embedtune.core.stage import STAGES
from tests.support.evaluation_records import make_verdict
from tests.support.openai_server import OpenAIServer
from tests.support.tiny_model import TINY_DIMENSION, make_tiny_model
from tests.support.tiny_run import write_documents


@pytest.fixture
def invoke():
    def call(*arguments: str):
        return CliRunner().invoke(cli, list(arguments))

    return call


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Settings that use a tiny model."""
    model = make_tiny_model(tmp_path_factory.mktemp("tiny"))
    settings = {
        "contract.base_model": model,
        "contract.weights_sha256": "null",
        "contract.dimensions": [TINY_DIMENSION],
        "ingest.min_words": 20,
        "ingest.max_words": 60,
        "runtime.device": "cpu",
    }
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def test_every_stage_has_a_command_with_its_inputs_and_output():
    for stage, command in zip(STAGES, STAGE_COMMANDS, strict=True):
        options = {parameter.name for parameter in command.params}
        assert {*stage.inputs, "output", "cache"} <= options


def test_init_looks_at_the_documents_and_ends_with_the_next_command(invoke, tmp_path):
    documents, path = write_documents(tmp_path / "documents"), tmp_path / "mine.yaml"
    endpoint = ["--llm-url", "http://127.0.0.1:9/v1", "--llm-model", "qwen", "--domain", "machines of a plant"]
    done = invoke("init", str(documents), "--output", str(path), *endpoint)
    assert done.exit_code == 0, done.output
    assert "12 documents: 12 .md" in done.output
    assert done.output.rstrip().endswith(f"embedtune run {documents} --config {path}")
    assert load_config(path).generate.domain == "machines of a plant"
    assert "--config THIS_FILE" in path.read_text() and "--preset" not in path.read_text()
    again = invoke("init", str(documents), "--output", str(path))
    assert again.exit_code == 2 and "already exists" in again.output
    assert load_config(path).generate.llm.model == "qwen"


def test_init_refuses_documents_that_are_not_there_and_writes_nothing(invoke, tmp_path):
    path = tmp_path / "mine.yaml"
    assert invoke("init", str(tmp_path / "documents"), "--output", str(path)).exit_code == 2
    mistaken = invoke("init", str(path))
    assert mistaken.exit_code == 2 and f"init DOCS --output {path}" in " ".join(mistaken.output.split())
    assert not path.exists()


def test_a_base_goes_with_a_preset_but_not_with_a_file(invoke, tmp_path):
    path = tmp_path / "mine.yaml"
    assert invoke("init", "--output", str(path), "--base", "gte-small", "--revision", "a" * 40).exit_code == 0
    pinned = load_config("minilm+gte-small", [f"contract.revision={'a' * 40}"])
    assert load_config(str(path)) == pinned
    both = invoke("doctor", "--config", str(path), "--base", "gte-small")
    assert both.exit_code == 2 and "embedtune init DOCS --base gte-small" in " ".join(both.output.split())
    unpinned = invoke("ingest", str(tmp_path), "--output", str(tmp_path / "chunks"), "--base", "gte-small")
    assert unpinned.exit_code == 1 and "revision is not pinned" in unpinned.output


def test_ingest_alone_writes_the_artifact_and_reports_what_it_did(invoke, tmp_path, tiny):
    documents = write_documents(tmp_path / "documents")
    result = invoke("ingest", str(documents), "--output", str(tmp_path / "chunks"), "--json", *tiny)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["stage"], report["metrics"]["documents"]) == ("ingest", 12)
    assert (tmp_path / "chunks" / "manifest.json").is_file()


def test_a_folder_without_documents_is_refused(invoke, tmp_path, tiny):
    result = invoke("ingest", str(tmp_path), "--output", str(tmp_path / "chunks"), *tiny)
    assert result.exit_code == 2
    assert not (tmp_path / "chunks").exists()


def test_an_estimate_calls_no_llm(invoke, tmp_path, tiny):
    documents = write_documents(tmp_path / "documents")
    with OpenAIServer() as server:
        result = invoke(
            "estimate",
            str(documents),
            "--work",
            str(tmp_path / "work"),
            "--json",
            *tiny,
            "--set",
            f"generate.llm.base_url={server.url}",
            "--set",
            "generate.llm.model=test",
            "--set",
            "generate.llm.price_in=1.0",
        )
        assert result.exit_code == 0, result.output
        assert server.stats()["calls"] == 0
    found = json.loads(result.stdout)
    assert (found["documents"], found["chunks"]) == (12, 48)
    # One call per chunk and 0.4 bundles per chunk, each written and judged.
    assert 2 * 48 <= found["llm_calls"] <= 2 * 48 * 1.8
    assert found["cost_usd"] == pytest.approx(found["prompt_tokens"] / 1e6)
    assert found["train_steps"] > 0 and found["seconds_per_step"] > 0 and found["embed_seconds"] > 0


def test_a_large_cost_is_confirmed_once(invoke, tmp_path, tiny):
    documents = write_documents(tmp_path / "documents")
    chunks, questions = str(tmp_path / "chunks"), str(tmp_path / "questions")
    assert invoke("ingest", str(documents), "--output", chunks, *tiny).exit_code == 0
    with OpenAIServer() as server:
        settings = {
            "generate.llm.base_url": server.url,
            "generate.llm.model": "test",
            "generate.llm.price_in": 1000,
            "generate.max_chunks": 6,
            "generate.max_hops": 1,
        }
        sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        command = ["generate", "--chunks", chunks, "--output", questions, *tiny, *sets]
        asked = invoke(*command)
        assert asked.exit_code == 2 and "--yes" in asked.output
        assert server.stats()["calls"] == 0
        assert invoke(*command, "--yes").exit_code == 0
        paid = server.stats()["calls"]
        assert paid > 0
        # Calls that were paid for are not confirmed again, even if the stage has to run again.
        shutil.rmtree(questions)
        again = invoke(*command)
        assert again.exit_code == 0, again.output
        assert server.stats()["calls"] == paid


def test_the_doctor_finds_a_good_endpoint_and_a_bad_one(invoke, tmp_path, tiny):
    with OpenAIServer() as server:
        endpoint = ["--set", f"generate.llm.base_url={server.url}", "--set", "generate.llm.model=test"]
        good = invoke("doctor", "--work", str(tmp_path), "--json", *tiny, *endpoint)
    assert good.exit_code == 0, good.output
    findings = {finding["checked"]: finding for finding in json.loads(good.stdout)}
    assert findings["generator"]["status"] == "fine" and "JSON schema" in findings["generator"]["found"]
    assert findings["judge"]["status"] == "fine"
    assert set(findings) == {
        "work directory",
        "base model",
        "generator",
        "judge",
        "GPU",
        "precision",
        "memory",
        "disk",
    }
    bad = invoke("doctor", "--work", str(tmp_path), "--json", *tiny, *endpoint)
    assert bad.exit_code == 1
    finding = next(f for f in json.loads(bad.stdout) if f["checked"] == "generator")
    assert finding["status"] == "wrong" and finding["fix"]


def test_the_doctor_finds_that_a_recording_is_missing(invoke, tmp_path, tiny):
    sets = [*tiny, "--set", "generate.recording=nowhere.gz"]
    result = invoke("doctor", "--work", str(tmp_path), "--json", *sets)
    assert result.exit_code == 1
    assert {f["checked"]: f["status"] for f in json.loads(result.stdout)}["recording"] == "wrong"


@pytest.mark.parametrize(
    ("verdict", "fail_on", "fails"),
    [
        ("WIN", "marginal", False),
        ("MARGINAL", "marginal", True),
        ("MARGINAL", "regression", False),
        ("REGRESSION", "regression", True),
        ("REGRESSION", "marginal", True),
        ("REGRESSION", None, False),
    ],
)
def test_fail_on_refuses_the_given_verdict_and_worse_ones(verdict, fail_on, fails):
    summary = Summary(Path("work"), [], Path("report.html"), make_verdict(verdict), None)
    assert summary.fails(fail_on) is fails


def test_fail_on_without_a_verdict_is_refused(invoke, tmp_path):
    result = invoke("run", str(tmp_path), "--work", str(tmp_path / "w"), "--to", "train", "--fail-on", "marginal")
    assert result.exit_code == 2 and "--to train" in result.output


@pytest.mark.parametrize(("speed", "text"), [(12.34, "12.3 chunks/s"), (0.25, "4.0 s/chunk"), (None, "")])
def test_rates_are_shown_in_words(speed, text):
    assert rate_text(speed, "chunks") == text


def test_a_slow_rate_is_given_per_query():
    assert rate_text(0.5, "queries") == "2.0 s/query"


def test_an_error_of_the_machine_is_one_line(invoke, tmp_path, tiny):
    write_documents(tmp_path / "docs")
    result = invoke("ingest", str(tmp_path / "docs"), "--output", str(tmp_path / ("x" * 300)), *tiny)
    assert result.exit_code == 1
    assert "error: File name too long" in result.stderr


def test_the_users_documents_are_not_replaced_by_an_artifact(invoke, tmp_path, tiny):
    write_documents(tmp_path / "docs")
    before = sorted((tmp_path / "docs").rglob("*"))
    result = invoke("ingest", str(tmp_path / "docs"), "--output", str(tmp_path / "docs"), *tiny)
    assert result.exit_code == 2
    assert "already contains something else" in result.stderr
    assert sorted((tmp_path / "docs").rglob("*")) == before
