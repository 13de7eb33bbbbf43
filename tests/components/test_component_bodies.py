"""Each component's body with real artifacts, in the order of the pipeline; the LLM is a real HTTP server."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from kfp import dsl

from components.deploy.component import deploy
from components.encode.component import encode
from components.evaluate.component import evaluate
from components.export.component import export
from components.generate.component import generate
from components.ingest.component import ingest
from components.mine.component import mine
from components.outcome.component import outcome
from components.parameters import Form, run_config
from components.prepare.component import prepare
from components.report.component import report
from components.split.component import split
from components.train.component import train
from embedtune.core.artifacts import SCHEMAS, read_artifact
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.encoders.vector_file import require_vectors
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.progress import SilentProgress, Task
from embedtune.core.records.base import read_record
from embedtune.core.records.deployment import DEPLOYMENT_FILE, Deployment
from embedtune.core.secrets import Secrets
from embedtune.local.runner import Job
from embedtune.local.runner import run as run_locally
from tests.support.openai_server import OpenAIServer
from tests.support.prepare_form import form
from tests.support.tiny_run import settings, write_documents


class Run:
    """The artifacts of one run, one component after the other."""

    def __init__(self, work: Path, server: OpenAIServer) -> None:
        self.work, self.server = work, server
        self.documents = write_documents(work / "documents")
        self.overrides = settings(work, server.url)
        self.artifacts: dict[str, dsl.Artifact] = {}

    def prepared(self) -> SimpleNamespace:
        values = prepare.python_func(**form(documents=str(self.documents), overrides=self.overrides))
        names = prepare.component_spec.outputs or {}
        return SimpleNamespace(**dict(zip(names, values, strict=True)))

    def outputs(self, stage: str, artifact: str) -> dict[str, dsl.Artifact]:
        self.artifacts[artifact] = dsl.Artifact(uri=str(self.work / artifact))
        summary = dsl.Markdown(uri=str(self.work / f"{stage}.md"))
        return {artifact: self.artifacts[artifact], f"{stage}_summary": summary}

    def figures(self, artifact: str) -> dict[str, Any]:
        return read_artifact(self.work / artifact, artifact).manifest.report.metrics


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with OpenAIServer() as server:
        yield Run(tmp_path_factory.mktemp("run"), server)


@pytest.fixture(autouse=True, scope="module")
def computed() -> Iterator[list[tuple[str, str]]]:
    """Yield what models compute: the name of the model's directory, and the text."""
    found: list[tuple[str, str]] = []
    encode_block = TorchEncoder._encode_block

    def spy(encoder: TorchEncoder, texts: list[str], task: Task) -> Vectors:
        found.extend((encoder.path.name, text) for text in texts)
        return encode_block(encoder, texts, task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TorchEncoder, "_encode_block", spy)
        yield found


def check(run: Run, stage: str, artifact: str) -> None:
    read_artifact(run.work / artifact, artifact)
    assert (run.work / f"{stage}.md").read_text().startswith(f"# {stage}\n")


def test_prepare_names_a_missing_folder_in_the_last_lines_of_its_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        prepare.python_func(**form(documents="/nowhere"))
    assert ended.value.code == InputError.exit_code
    assert "InputError: there are no files in this folder\n  got:      /nowhere" in caplog.text
    assert "Traceback" not in caplog.text


def test_prepare_passes_on_addresses_as_stages_read_them(run: Run) -> None:
    given = prepare.python_func(
        **form(
            documents=f" {run.documents} ",
            eval_sets=[f"a={run.documents}", f"b={run.documents}"],
            overrides=run.overrides,
        )
    )
    assert (given[0], given[2]) == (str(run.documents), f"a={run.documents}\nb={run.documents}")


def test_prepare_sees_changed_documents_and_nothing_else(run: Run) -> None:
    first = run.prepared()
    assert run.prepared() == first
    extra = run.documents / "new.md"
    extra.write_text("# New")
    changed = run.prepared()
    extra.unlink()
    assert changed.documents_version != first.documents_version
    assert changed.ingest == first.ingest
    assert run.prepared() == first


def test_ingest(run: Run) -> None:
    given = run.prepared()
    ingest.python_func(
        str(run.documents), given.documents_version, given.ingest, **run.outputs("ingest", "chunks")
    )
    check(run, "ingest", "chunks")
    assert run.figures("chunks")["documents"] == len(list(run.documents.iterdir()))


def test_encode(run: Run) -> None:
    encode.python_func(run.prepared().encode, run.artifacts["chunks"], **run.outputs("encode", "base_vectors"))
    assert (run.work / "encode.md").read_text().startswith("# encode\n")
    record = require_vectors(run.work / "base_vectors")
    chunks = read_artifact(run.work / "chunks", "chunks").manifest.counts["chunks"]
    assert (record.passages, len(record.fingerprints)) == (chunks, 1)


def test_generate(run: Run) -> None:
    inputs = run.artifacts["chunks"], run.artifacts["base_vectors"]
    generate.python_func(run.prepared().generate, *inputs, **run.outputs("generate", "questions"))
    check(run, "generate", "questions")
    assert run.server.completions > 0


def test_split(run: Run) -> None:
    inputs = run.artifacts["chunks"], run.artifacts["questions"]
    split.python_func(run.prepared().split, *inputs, **run.outputs("split", "dataset"))
    check(run, "split", "dataset")
    assert {file.stem for file in (run.work / "dataset" / "qrels").iterdir()} == {"train", "dev", "test"}


def test_mine(run: Run) -> None:
    inputs = run.artifacts["dataset"], run.artifacts["base_vectors"]
    mine.python_func(run.prepared().mine, *inputs, **run.outputs("mine", "triplets"))
    check(run, "mine", "triplets")
    assert run.figures("triplets")["rows"] > 0


def test_train(run: Run) -> None:
    inputs = [run.artifacts[name] for name in ("triplets", "dataset", "base_vectors")]
    train.python_func(run.prepared().train, *inputs, **run.outputs("train", "model"))
    check(run, "train", "model")
    assert run.figures("model")["rows"] == run.figures("triplets")["rows"]


def test_evaluate(run: Run) -> None:
    inputs = [run.artifacts[name] for name in ("dataset", "model", "base_vectors")]
    copy = shutil.copytree(
        run.work / "model", run.work / "champion", ignore=shutil.ignore_patterns("manifest.json")
    )
    champion = str(copy)
    outputs = run.outputs("evaluate", "evaluation")
    better = evaluate.python_func(run.prepared().evaluate, "", champion, "", "win", *inputs, **outputs)
    check(run, "evaluate", "evaluation")
    promotion = json.loads((run.work / "evaluation" / "verdict.json").read_text())["promotion"]
    assert promotion == {
        **promotion,
        "against": "champion",
        "verdict": "MARGINAL",
    }  # the model is compared with itself
    assert better is False
    for accept, expected in (("marginal", True), ("never", False)):
        again = evaluate.python_func(run.prepared().evaluate, "", champion, "", accept, *inputs, **outputs)
        assert again is expected
        end = "this run deploys nothing" if accept == "never" else "accepted is marginal"
        first = (run.work / "evaluate.md").read_text().splitlines()[2]
        assert first.startswith("The run goes on to export" if expected else "The run ends here")
        assert "MARGINAL against the champion" in first and end in first


def test_the_base_model_has_encoded_each_passage_once(run: Run, computed: list[tuple[str, str]]) -> None:
    corpus = [json.loads(line)["text"] for line in (run.work / "dataset" / "corpus.jsonl").open()]
    counts = Counter(text for model, text in computed if model == "base")
    assert {counts[text] for text in corpus} == {1}
    tuned = Counter(text for model, text in computed if model == "model")
    assert min(tuned[text] for text in corpus) > 0  # the count sees what stages compute


def test_a_run_in_one_process_encodes_each_passage_once_too_and_writes_the_same(
    run: Run, computed: list[tuple[str, str]], tmp_path: Path
) -> None:
    computed.clear()
    config = run_config(Form("minilm", overrides=run.overrides))
    run_locally(Job(tmp_path / "local", config, Secrets(), source=str(run.documents)), SilentProgress())
    corpus = [json.loads(line)["text"] for line in (run.work / "dataset" / "corpus.jsonl").open()]
    counts = Counter(text for model, text in computed if model == "base")
    assert {counts[text] for text in corpus} == {1}
    works = run.work, tmp_path / "local"
    for name in ("chunks", "questions", "dataset"):
        ours, theirs = (read_artifact(work / name, name).fingerprint for work in works)
        assert ours == theirs, name
    # Questions are encoded by each pod, in batches of its own, which may change the last bits of a score.
    ours, theirs = (pq.read_table(work / "triplets" / "triplets.parquet").to_pylist() for work in works)
    for ours_row, theirs_row in zip(ours, theirs, strict=True):
        for name, value in ours_row.items():
            assert value == (pytest.approx(theirs_row[name], abs=1e-5) if "score" in name else theirs_row[name])


def test_the_outcome_is_numbers_whether_or_not_the_model_went_live(run: Run) -> None:
    inputs = run.artifacts["questions"], run.artifacts["model"], run.artifacts["evaluation"]
    metrics = dsl.Metrics(uri=str(run.work / "outcome"))
    outcome.python_func(*inputs, metrics)
    sets = json.loads((run.work / "evaluation" / "metrics.json").read_text())["sets"]["synthetic"]
    shown = metrics.metadata
    assert json.loads(Path(metrics.path).read_text()) == shown
    assert (shown["deployed"], shown["promotion"]) == (0, 0)
    assert shown["recall_at_10_champion"] == sets["systems"]["champion"]["recall@10"]
    assert shown["ndcg_at_10_difference_low"] == sets["delta"]["ndcg@10"]["low"]
    assert (
        shown["questions_kept"] == read_artifact(run.work / "questions", "questions").manifest.counts["questions"]
    )
    assert shown["seconds_train"] > 0
    outcome.python_func(*inputs, metrics, deployed=True)
    assert metrics.metadata["deployed"] == 1


def test_report(run: Run) -> None:
    page = dsl.HTML(uri=str(run.work / "playground.html"))
    report.python_func(**{name: one for name, one in run.artifacts.items() if name in SCHEMAS}, page=page)
    text = Path(page.path).read_text()
    assert "<html" in text.lower()
    for stage in ("ingest", "generate", "split", "mine", "train", "evaluate"):
        assert stage in text


def test_export(run: Run) -> None:
    inputs = run.artifacts["model"], run.artifacts["dataset"]
    cache = run.work / "cache"
    export.python_func(run.prepared().export, *inputs, **run.outputs("export", "engine"), cache_dir=str(cache))
    check(run, "export", "engine")
    assert json.loads((run.work / "engine" / "engine.json").read_text())["target"] == "python-cpu"
    assert run.figures("engine")["min_cosine_fp32"] >= 0.9999
    assert any(cache.iterdir())


def test_deploy_holds_back_a_model_that_is_not_better(run: Run) -> None:
    inputs = [run.artifacts[name] for name in ("engine", "evaluation", "dataset", "model")]
    assert not deploy.python_func(run.prepared().deploy, *inputs, **run.outputs("deploy", "deployment"))
    check(run, "deploy", "deployment")
    record = read_record(run.work / "deployment" / DEPLOYMENT_FILE, Deployment)
    assert (record.deployed, record.release) == (False, None)
    assert "MARGINAL against the champion" in record.reason
    assert record.reason in (run.work / "deploy.md").read_text()


def test_an_artifact_of_another_kind_is_refused(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    inputs = run.artifacts["chunks"], run.artifacts["base_vectors"]
    with pytest.raises(SystemExit) as ended:
        mine.python_func(run.prepared().mine, *inputs, **run.outputs("mine", "triplets"))
    assert ended.value.code == ArtifactError.exit_code
    assert re.search(r"ArtifactError(.|\n)*chunks(.|\n)*dataset", caplog.text)
