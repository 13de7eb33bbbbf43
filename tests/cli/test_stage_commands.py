"""The commands of the stages, and those that work on their artifacts, in one tiny work directory."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from embedtune.cli import cli
from embedtune.core.artifacts import read_artifact
from embedtune.core.records.base import read_record
from embedtune.core.records.engine import PARITY_FILE, Parity
from embedtune.core.records.metrics import METRICS_FILE, Metrics
from embedtune.core.stage import ARTIFACT_OF
from tests.support.openai_server import OpenAIServer
from tests.support.tiny_run import DOCUMENTS, overrides, write_documents


@dataclass
class Place:
    """A work directory, and the command line on it.

    Args:
        folder: Directory of documents, base model and work.
        settings: The options that set up a tiny run.
        reports: What each stage printed with --json, by stage.
    """

    folder: Path
    settings: list[str]
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def command(self, *arguments: str) -> Result:
        result = CliRunner().invoke(cli, list(arguments))
        assert result.exit_code == 0, result.output
        return result

    def stage(self, name: str, *inputs: str, more: tuple[str, ...] = ()) -> None:
        """Run one stage on artifacts of the work directory, and keep the report that it prints."""
        given = [part for one in inputs for part in (f"--{one}", str(self.work / one))]
        output = str(self.work / ARTIFACT_OF[name])
        done = self.command(name, *given, "--output", output, "--json", *more, *self.settings)
        self.reports[name] = json.loads(done.stdout)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("stages")
    documents = write_documents(folder / "documents")
    with OpenAIServer() as server:
        lines = overrides(folder, server.url).splitlines()
        made = Place(folder, [part for line in lines for part in ("--set", line)])
        made.stage("ingest", more=(str(documents),))
        made.stage("generate", "chunks", more=("--yes",))
    made.stage("split", "chunks", "questions")
    made.stage("mine", "dataset")
    made.stage("train", "triplets", "dataset")
    return made


def written(place: Place, stage: str) -> dict[str, Any]:
    """Return what a stage printed, after checking it against the artifact that it wrote."""
    artifact = read_artifact(place.work / ARTIFACT_OF[stage], ARTIFACT_OF[stage])
    printed = place.reports[stage]
    assert (printed["stage"], printed["metrics"]) == (stage, artifact.manifest.report.metrics)
    return printed["metrics"]


def test_ingest_and_generate_report_their_artifacts(place: Place) -> None:
    assert written(place, "ingest")["documents"] == DOCUMENTS
    assert written(place, "generate")["questions"] > 0


def test_split_mine_and_train_report_their_artifacts(place: Place) -> None:
    assert written(place, "split")["train_queries"] > 0
    assert written(place, "mine")["rows"] > 0
    assert written(place, "train")["steps"] > 0


def test_eval_set_writes_a_set_that_evaluate_decides_on(place: Place) -> None:
    document = next((place.folder / "documents").glob("00-*.md"))
    quote = re.findall(r"Code .* says [^.]*\.", document.read_text())[0]
    asked = {"question": "which code?", "answers": [{"path": document.name, "quote": quote}]}
    file, output = place.folder / "questions.jsonl", place.folder / "ours"
    file.write_text(json.dumps(asked) + "\n")
    done = place.command("eval-set", str(file), "--chunks", str(place.work / "chunks"), "--output", str(output))
    assert "1 questions, 1 quotes" in done.output
    place.stage("evaluate", "dataset", "model", more=("--eval-set", f"ours={output}"))
    assert written(place, "evaluate")["verdict"] in {"WIN", "MARGINAL", "REGRESSION"}
    metrics = read_record(place.work / "evaluation" / METRICS_FILE, Metrics)
    assert set(metrics.sets) == {"synthetic", "ours"}


def test_export_writes_an_engine_whose_parity_is_measured(place: Place) -> None:
    place.stage("export", "model", "dataset")
    figures = written(place, "export")
    parity = read_record(place.work / "engine" / PARITY_FILE, Parity)
    assert figures["texts"] == parity.texts >= 256
    assert parity.variants[parity.precision].passed


def test_record_writes_a_recording_that_generate_replays(place: Place) -> None:
    file = place.folder / "replies.jsonl.gz"
    options = ("--work", str(place.work), "--license", "MIT", *place.settings)
    done = place.command("record", str(file), *options)
    assert re.search(r"replies\.jsonl\.gz: \d+ replies", done.output.replace("\n", ""))
    again = place.folder / "again"
    replay = ("--chunks", str(place.work / "chunks"), "--output", str(again / "questions"), *place.settings)
    place.command("generate", *replay, "--set", f"generate.recording={file}")  # the server is gone
    first = read_artifact(place.work / "questions", "questions")
    assert read_artifact(again / "questions", "questions").fingerprint == first.fingerprint


def test_report_writes_the_page_and_names_it(place: Place) -> None:
    done = place.command("report", str(place.work))
    page = place.work / "report.html"
    assert str(page) in done.output.replace("\n", "")
    assert "<html" in page.read_text() and (place.work / "model_card.md").is_file()
