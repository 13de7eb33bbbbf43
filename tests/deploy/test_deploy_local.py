"""`deploy` on this machine: a real Triton and object store, two tiny models and one with a wrong reference."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from embedtune.cli import cli
from embedtune.core.artifacts import StageReport, file_sha256, read_artifact, read_manifest, write_artifact
from embedtune.core.comparisons import CHAMPION_MODEL
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.config.machine import StorageSettings
from embedtune.core.contract import load_contract
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.remote import open_endpoint
from embedtune.core.errors import GateError
from embedtune.core.progress import SilentProgress
from embedtune.core.records.base import render_record
from embedtune.core.retrieval.beir import Record, write_records
from embedtune.deploy import stage
from embedtune.deploy.local_replica import LocalReplica
from embedtune.serve.release import build, record
from embedtune.serve.store.store import ReleaseStore
from embedtune.serve.triton.installation import Installation
from embedtune.serve.triton.server import free_ports, is_ready
from tests.support.context import context, provenance
from tests.support.evaluation_records import make_verdict
from tests.support.evaluation_site import model_artifact
from tests.support.object_store import ENDPOINT, SECRETS, a_bucket, needs_server
from tests.support.tiny_engine import make_tiny_engine
from tests.support.tiny_model import TINY_DIMENSION, tiny_contract

pytestmark = needs_server
CORPUS = [Record(f"p{number}", f"the pump {number} leaks oil") for number in range(40)]


@dataclass
class Place:
    """A work directory, a bucket and a port.

    Args:
        work: Artifacts and cache.
        uri: Where releases are published.
        port: The local Triton's.
    """

    work: Path
    uri: str
    port: int

    def engine(self, name: str, seed: int) -> Path:
        path, model = self.work / name, self.model(name)
        if not path.is_dir():
            contract = tiny_contract(self.work / f"{name}-base", (TINY_DIMENSION, 16))
            model_artifact(model, contract, seed)
            make_tiny_engine(path, seed=seed, model=read_manifest(model, "model").fingerprint)
        return path

    def model(self, name: str) -> Path:
        return self.work / f"{name}-model"

    def config(self, engine: Path) -> Config:
        """Return the configuration under which an engine was made, deployed here."""
        return parse_config(
            {
                "contract": load_contract(engine).model_dump(),
                "deploy": {"port": self.port, "timeout_s": 120},
                "release": {"uri": self.uri},
                "storage": {"endpoint": ENDPOINT, "secure": False},
            }
        )

    def inputs(self, engine: Path, verdict: str = "WIN", against: str = "champion") -> tuple[Path, ...]:
        """Write the other inputs of the stage, and return all."""
        model = read_artifact(engine, "engine").manifest.inputs["model"]
        return engine, self._evaluation(model, verdict, against), self._dataset(), self.model(engine.name)

    def deploy(self, engine: Path, verdict: str = "WIN", against: str = "champion") -> StageReport:
        inputs, output = self.inputs(engine, verdict, against), self.work / "deployment"
        return stage.run(*inputs, output, context(self.config(engine), self.work / "cache", secrets=SECRETS))

    def options(self, engine: Path) -> list[str]:
        """Return the options of the command that deploys an engine."""
        names = ("--engine", "--evaluation", "--dataset", "--model", "--output")
        paths = (*self.inputs(engine), self.work / "deployment")
        return [part for name, path in zip(names, paths, strict=True) for part in (name, str(path))]

    def written(self, name: str) -> dict:
        return json.loads((self.work / "deployment" / name).read_text())

    def command(self, *arguments: str, engine: Path) -> dict:
        """Run a command of the command line on this place and return its JSON."""
        settings = self.config(engine).model_dump(
            mode="json", include={"contract", "deploy", "release", "storage"}
        )
        file = self.work / "config.yaml"
        file.write_text(json.dumps(settings))  # JSON is YAML
        result = CliRunner().invoke(cli, [*arguments, "--config", str(file), "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def _evaluation(self, model: str, verdict: str, against: str) -> Path:
        files = {
            "verdict.json": render_record(make_verdict(verdict, against)),
            "metrics.json": "{}",
            "per_query.parquet": "",
        }
        live = ReleaseStore(self.uri, StorageSettings(endpoint=ENDPOINT, secure=False), SECRETS).live_release()
        inputs = {"model": model} | ({CHAMPION_MODEL: live.model} if live else {})
        with write_artifact(self.work / "evaluation", "evaluation", provenance(inputs=inputs)) as draft:
            for file, text in files.items():
                (draft.path / file).write_text(text)
        return self.work / "evaluation"

    def _dataset(self) -> Path:
        with write_artifact(self.work / "dataset", "dataset", provenance()) as draft:
            (draft.path / "qrels").mkdir()
            for name in (
                "queries.jsonl",
                "split.json",
                *(f"qrels/{split}.tsv" for split in ("train", "dev", "test")),
            ):
                (draft.path / name).write_text("")
            write_records(draft.path / "corpus.jsonl", CORPUS)
            draft.counts = {"passages": len(CORPUS)}
        return self.work / "dataset"


@pytest.fixture(scope="module")
def place(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    port = next(port for port in free_ports(20) if port % 3 == 0)
    with a_bucket() as bucket:
        made = Place(tmp_path_factory.mktemp("deploy"), f"s3://{bucket.name}/releases", port)
        try:
            yield made
        finally:
            LocalReplica(port, 60).stop()


def served(place: Place, engine: Path) -> np.ndarray:
    encoder = open_endpoint(f"grpc://127.0.0.1:{place.port + 1}", load_contract(engine), "embedtune", None)
    return encoder.encode_passages([record.text for record in CORPUS], SilentProgress())


def trained(engine: Path) -> np.ndarray:
    contract = load_contract(engine)
    base = engine.with_name(f"{engine.name}-base")
    encoder = TorchEncoder(base, contract, parse_config({"contract": contract.model_dump()}).runtime)
    return encoder.encode_passages([record.text for record in CORPUS], SilentProgress())


@pytest.fixture
def hashed(place: Place, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often this process hashes each file of a release, by its path in the release directory."""
    releases, count = place.work / "cache" / "releases", Counter[str]()

    def counting(path: Path) -> str:
        if path.is_relative_to(releases):
            count["/".join(path.relative_to(releases).parts[1:])] += 1
        return file_sha256(path)

    for module in (record, build):
        monkeypatch.setattr(module, "file_sha256", counting)
    return count


def test_the_first_release_goes_live_and_its_drift_and_plan_are_written(
    place: Place, hashed: Counter[str]
) -> None:
    engine = place.engine("one", 0)
    report = place.deploy(engine, against="base")
    assert report.metrics["deployed"] == "yes"
    # The replica verifies them once more.
    assert {"reference.parquet", "model.onnx", "proof.npz"} <= set(hashed)
    assert set(hashed.values()) == {1}
    assert np.allclose(served(place, engine), trained(engine), atol=1e-4)
    deployment = place.written("deployment.json")
    assert (deployment["deployed"], deployment["before"]) == (True, None)
    drift = place.written("endpoint.json")
    assert (drift["texts"], drift["queries"]) == (32, 16)
    assert drift["cosine"]["min"] > 0.9999
    plan = place.written("reindex.json")
    assert (plan["release"], plan["chunks"], plan["dimensions"]) == (deployment["release"], 40, [32, 16])
    assert plan["estimated_seconds"] == pytest.approx(40 / drift["passages_per_second"], rel=0.1)
    listed = place.command("release", "list", engine=engine)
    assert listed["pointer"]["live"] == deployment["release"]
    shown = place.command("release", "show", deployment["release"], engine=engine)
    assert {"schema_name": "reindex_plan", "schema_version": 1, **shown["reindex"]} == plan


def test_a_better_model_replaces_it(place: Place) -> None:
    before = place.written("deployment.json")["release"]
    engine = place.engine("two", 1)
    report = place.command("deploy", *place.options(engine), engine=engine)
    assert (report["stage"], report["metrics"]["deployed"]) == ("deploy", "yes")
    assert np.allclose(served(place, engine), trained(engine), atol=1e-4)
    assert place.written("deployment.json")["before"] == before
    assert place.written("reindex.json")["replaces"] == before


@pytest.mark.parametrize(
    ("verdict", "against"), [("MARGINAL", "champion"), ("REGRESSION", "champion"), ("WIN", "base")]
)
def test_a_challenger_that_is_not_better_than_the_champion_is_not_deployed(
    place: Place, verdict: str, against: str
) -> None:
    live = place.engine("two", 1)
    report = place.deploy(place.engine("three", 2), verdict, against)
    assert report.metrics["deployed"] == "no"
    assert "not deployed" in report.notes[0]
    assert np.allclose(served(place, live), trained(live), atol=1e-4)
    assert len(place.command("release", "list", engine=live)["releases"]) == 2


def test_a_release_whose_vectors_are_not_the_trained_ones_answers_nobody(place: Place) -> None:
    live = place.engine("two", 1)
    lying = place.engine("lying", 3)
    table = pq.read_table(lying / "reference.parquet")
    turned = [row[::-1] for row in table["vector"].to_pylist()]
    column = pa.array(turned, pa.list_(pa.float32()))
    shutil.copytree(place.model("lying"), place.model("lying2"))
    inputs = read_manifest(lying, "engine").inputs
    with write_artifact(place.work / "lying2", "engine", provenance(inputs=inputs)) as draft:
        for file in lying.iterdir():
            if file.is_file() and file.name != "manifest.json":
                (draft.path / file.name).write_bytes(file.read_bytes())
        pq.write_table(table.set_column(2, "vector", column), draft.path / "reference.parquet")
    before = place.command("release", "list", engine=live)["pointer"]
    with pytest.raises(GateError, match=rf"{before['live'][:16]} is live(.|\n)*not return the trained vectors"):
        place.deploy(place.work / "lying2")
    assert np.allclose(served(place, live), trained(live), atol=1e-4)
    assert place.command("release", "list", engine=live)["pointer"] == before


def test_the_corpus_is_embedded_through_the_endpoint(place: Place) -> None:
    live, output = place.engine("two", 1), place.work / "vectors.parquet"
    done = place.command("reindex", "--dataset", str(place.work / "dataset"), "--to", str(output), engine=live)
    assert (done["passages"], done["embedded"]) == (40, 40)
    table = pq.read_table(output)
    assert table["id"].to_pylist() == [record.id for record in CORPUS]
    assert np.allclose(np.asarray(table["vector"].to_pylist()), trained(live), atol=1e-4)


def test_rolling_back_promoting_and_flipping_switch_the_service(place: Place) -> None:
    one, two = place.engine("one", 0), place.engine("two", 1)
    live = place.command("release", "list", engine=two)["pointer"]["live"]
    work = ("--work", str(place.work))
    back = place.command("release", "rollback", *work, engine=two)
    assert back["live"]
    assert np.allclose(served(place, one), trained(one), atol=1e-4)
    assert place.command("release", "list", engine=two)["pointer"]["before"] == []
    manual = ("--set", "deploy.flip=manual")
    held = place.command("release", "promote", live[:16], *work, *manual, engine=two)
    assert (held["release"], held["live"]) == (live, False)
    assert np.allclose(served(place, one), trained(one), atol=1e-4)
    assert place.command("release", "flip", live[:16], *work, engine=two)["live"]
    assert np.allclose(served(place, two), trained(two), atol=1e-4)


def test_a_mistyped_id_does_not_touch_the_service(place: Place) -> None:
    two = place.engine("two", 1)
    file = place.work / "config.yaml"
    wrong = CliRunner().invoke(
        cli, ["release", "promote", "00000000", "--work", str(place.work), "--config", str(file)]
    )
    assert wrong.exit_code == 2
    assert "no such release" in wrong.output
    assert np.allclose(served(place, two), trained(two), atol=1e-4)


def test_pruning_keeps_the_live_release_and_the_one_before_it(place: Place) -> None:
    two = place.engine("two", 1)
    pointer = place.command("release", "list", engine=two)["pointer"]
    gone = place.command("release", "prune", "--keep", "0", engine=two)["deleted"]
    assert len(gone) == 1  # the one with the wrong reference
    left = {release["id"] for release in place.command("release", "list", engine=two)["releases"]}
    assert left == {pointer["live"], *pointer["before"]}


def test_the_service_of_this_machine_is_stopped_on_request(place: Place) -> None:
    two = place.engine("two", 1)
    assert is_ready(place.port)
    assert place.command("release", "stop", engine=two) == {"stopped": f"{place.uri}/"}
    assert not is_ready(place.port)
    assert place.command("release", "stop", engine=two) == {"stopped": None}
