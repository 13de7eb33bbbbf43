"""The re-index: every passage once, in order, from one model, whatever interrupts it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import ConfigError, GateError
from embedtune.core.progress import SilentProgress
from embedtune.core.records.base import parse_record, render_record
from embedtune.core.records.deployment import ReindexPlan
from embedtune.core.retrieval.beir import Record
from embedtune.deploy import reindex as module
from embedtune.deploy.reindex import Reindexed, reindex
from embedtune.deploy.reindex_plan import reindex_plan
from embedtune.serve.release.record import Release
from tests.support.serving_world import CONTRACT, make_release, vector

CORPUS = [Record(f"p{number}", f"passage {number}") for number in range(25)]


class Endpoint:
    """Serves a model; can fail or change the model after some calls."""

    fingerprint = "test"

    def __init__(self, model: str = "one", fail_at: int | None = None, change_at: int | None = None) -> None:
        self.model, self.fail_at, self.change_at, self.calls = model, fail_at, change_at, 0
        self.asked: list[str] = []

    def encode_queries(self, texts: Sequence[str], progress: object) -> Vectors:
        raise AssertionError("passages are passages")

    def encode_passages(self, texts: Sequence[str], progress: object) -> Vectors:
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        if self.calls == self.change_at:
            self.model = "changed"
        self.asked += texts
        return np.asarray([vector(self.model, "passage", text) for text in texts], dtype=np.float32)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 10)


def check(output: Path, model: str) -> None:
    table = pq.read_table(output)
    assert table.column_names == ["id", "vector"]
    assert table["id"].to_pylist() == [record.id for record in CORPUS]
    expected = np.asarray([vector(model, "passage", record.text) for record in CORPUS], dtype=np.float32)
    assert np.array_equal(np.asarray(table["vector"].to_pylist(), dtype=np.float32), expected)
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_every_passage_is_written_once_in_order(tmp_path: Path) -> None:
    assert reindex(CORPUS, Endpoint(), tmp_path / "v.parquet", SilentProgress()) == Reindexed(25, 25)
    check(tmp_path / "v.parquet", "one")


def test_an_interrupted_call_is_resumed(tmp_path: Path) -> None:
    output = tmp_path / "v.parquet"
    with pytest.raises(KeyboardInterrupt):
        reindex(CORPUS, Endpoint(fail_at=4), output, SilentProgress())  # in the second part
    assert not output.exists()
    again = Endpoint()
    assert reindex(CORPUS, again, output, SilentProgress()) == Reindexed(25, 15)
    probes = {"passage 0", "passage 4", "passage 8"}  # those before the second part
    assert set(again.asked) == probes | {record.text for record in CORPUS[10:]}
    check(output, "one")


@pytest.mark.parametrize("change_at", [3, 4, 5])
def test_a_model_that_is_switched_meanwhile_leaves_no_mixed_file(tmp_path: Path, change_at: int) -> None:
    output = tmp_path / "v.parquet"
    with pytest.raises(GateError, match="no longer serves the model"):
        reindex(CORPUS, Endpoint(change_at=change_at), output, SilentProgress())
    assert not output.exists()
    assert reindex(CORPUS, Endpoint("changed"), output, SilentProgress()) == Reindexed(25, 25)
    check(output, "changed")


def test_a_model_that_differs_only_on_some_passages_is_another_one(tmp_path: Path) -> None:
    class Retrained(Endpoint):
        """The same for the first passage."""

        def encode_passages(self, texts: Sequence[str], progress: object) -> Vectors:
            self.asked += texts
            models = ["one" if text == "passage 0" else "two" for text in texts]
            pairs = zip(models, texts, strict=True)
            return np.asarray([vector(model, "passage", text) for model, text in pairs], dtype=np.float32)

    with pytest.raises(KeyboardInterrupt):
        reindex(CORPUS, Endpoint(fail_at=4), tmp_path / "v.parquet", SilentProgress())
    done = reindex(CORPUS, Retrained(), tmp_path / "v.parquet", SilentProgress())
    assert done == Reindexed(25, 25)


def test_another_corpus_starts_over(tmp_path: Path) -> None:
    output = tmp_path / "v.parquet"
    with pytest.raises(KeyboardInterrupt):
        reindex([Record("x", "other"), *CORPUS], Endpoint(fail_at=4), output, SilentProgress())
    assert reindex(CORPUS, Endpoint(), output, SilentProgress()) == Reindexed(25, 25)
    check(output, "one")


def test_a_state_of_another_version_starts_over(tmp_path: Path) -> None:
    output = tmp_path / "v.parquet"
    with pytest.raises(KeyboardInterrupt):
        reindex(CORPUS, Endpoint(fail_at=4), output, SilentProgress())
    (tmp_path / ".v.parquet.parts" / "state.json").write_text('{"corpus": "", "part": 10, "probe": []}')
    assert reindex(CORPUS, Endpoint(), output, SilentProgress()) == Reindexed(25, 25)
    check(output, "one")


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return make_release(tmp_path, "one")


def test_the_plan_says_what_a_vector_store_must_do(release: Release) -> None:
    plan = reindex_plan(release, 1000, 50.0, "old")
    assert parse_record(render_record(plan), ReindexPlan, "plan") == plan
    wanted = {
        "release": release.id,
        "model_name": "embedtune",
        "replaces": "old",
        "contract_hash": CONTRACT.hash,
        "dimensions": (8, 4),
        "similarity": "dot",
        "chunks": 1000,
        "estimated_seconds": 20.0,
        "bytes_float32": {8: 32_000, 4: 16_000},
    }
    assert plan.model_dump(include=set(wanted)) == wanted


def test_a_plan_needs_a_measured_rate(release: Release) -> None:
    with pytest.raises(ConfigError, match="no passage was measured"):
        reindex_plan(release, 1000, 0.0, None)
