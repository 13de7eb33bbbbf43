"""Tracking: what each real tool holds after a training that was interrupted and continued, and its verdict."""

import logging
import os
import uuid
from pathlib import Path

import pytest

from embedtune.core.config.load import parse_config
from embedtune.core.config.tracking import TrackingSettings
from embedtune.core.errors import ConfigError
from embedtune.core.progress import SilentProgress
from embedtune.core.records.base import read_record, write_record
from embedtune.core.records.evaluation import VERDICT_FILE
from embedtune.core.records.metrics import METRICS_FILE, Metrics
from embedtune.core.secrets import Secrets
from embedtune.core.stage import Context, stage_settings
from embedtune.core.tracking import NoTracking
from embedtune.local.runner import Job
from embedtune.local.track import track_result, tracked_settings, tracking_of
from embedtune.tracking.trackers import STATE_FILE, TrackedRuns
from embedtune.train.stage import run
from tests.support.evaluation_records import make_verdict
from tests.support.training_world import Interrupt, World, make_world, record_of, tiny_config
from tests.support.waiting import wait_until

SERVER = os.environ.get("EMBEDTUNE_TEST_MLFLOW")  # of `mlflow server`, which needs more than the client's package
MEANS = {"base": {"ndcg@10": 0.5}, "tuned": {"ndcg@10": 0.625}}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def tracked_config(world: World, *tools: str, **more):
    return tiny_config(world).model_copy(update={"tracking": TrackingSettings(to=tools, **more)})


def train(world: World, work: Path, config, progress) -> None:
    context = Context(config, Secrets(), progress, work / "cache", tracking_of(config, work))
    run(world.triplets, world.dataset, work / "model", context)


def cut_and_continued(world: World, work: Path, *tools: str):
    """Train 6 steps with a checkpoint after 3, cut while step 5 is counted, then continue; then the verdict."""
    config = tracked_config(world, *tools)
    with pytest.raises(KeyboardInterrupt):
        train(world, work, config, Interrupt(5))
    first = state(work)
    train(world, work, config, SilentProgress())
    assert state(work) == first
    evaluation = work / "evaluation"
    evaluation.mkdir()
    write_record(evaluation / VERDICT_FILE, make_verdict("WIN"))
    one = {"queries": 9, "units": 9, "systems": MEANS, "delta": {}}
    write_record(evaluation / METRICS_FILE, Metrics.model_validate({"sets": {"synthetic": one}}))
    (work / "report.html").write_text("a passage")
    track_result(Job(work, config, Secrets(), source="docs"), work / "report.html")
    return record_of(work / "model")


def state(work: Path) -> dict[str, dict[str, str]]:
    return read_record(work / "cache" / STATE_FILE, TrackedRuns).runs


def test_tensorboard_shows_one_curve_across_an_interruption(world, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = cut_and_continued(world, tmp_path, "tensorboard")
    (name,) = state(tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard" / name)).Reload()

    def curve(tag: str) -> list[tuple[int, float]]:
        return [(one.step, pytest.approx(one.value, abs=1e-6)) for one in events.Scalars(tag)]

    assert [(one.step, one.loss) for one in record.steps] == curve("loss")
    assert [(one.step, one.lr) for one in record.steps] == curve("learning_rate")
    assert [(one.step, one.ndcg_at_10) for one in record.dev if one.step] == curve("dev/ndcg_at_10")
    assert curve("test/synthetic/tuned/ndcg_at_10") == [(0, 0.625)]
    assert events.Tensors("verdict/text_summary")[0].tensor_proto.string_val == [b"WIN"]
    assert b"train.learning_rate | 0.001" in events.Tensors("settings/text_summary")[0].tensor_proto.string_val[0]


@pytest.mark.parametrize(
    "server",
    [
        None,
        pytest.param(
            SERVER,
            marks=pytest.mark.skipif(SERVER is None, reason="EMBEDTUNE_TEST_MLFLOW is not set"),
        ),
    ],
    ids=["files", "server"],
)
def test_mlflow_has_one_run_with_each_step_once(world, tmp_path, monkeypatch, server):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a store that needs no server and no database
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server or (tmp_path / "mlflow").as_uri())
    experiment = f"embedtune-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", experiment)
    from mlflow import MlflowClient

    record = cut_and_continued(world, tmp_path, "mlflow")
    client = MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    history = client.get_metric_history(found.info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(one.step, one.loss) for one in record.steps]
    dev = client.get_metric_history(found.info.run_id, "dev/ndcg_at_10")
    assert [(one.step, one.value) for one in dev] == [(one.step, one.ndcg_at_10) for one in record.dev if one.step]
    assert found.info.status == "FINISHED"
    assert found.data.params["train.learning_rate"] == "0.001"
    assert found.data.tags["verdict"] == "WIN"
    assert found.data.metrics["test/synthetic/tuned/ndcg_at_10"] == 0.625
    files = {one.path for one in client.list_artifacts(found.info.run_id)}
    assert files == {"verdict.json", "metrics.json", "training.json"}  # the report only if it is asked for


def test_weights_and_biases_continues_under_the_same_id(world, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    cut_and_continued(world, tmp_path, "wandb")
    (ids,) = state(tmp_path).values()
    files = list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 3  # the interrupted training, the continued one and the verdict
    assert {file.name for file in files} == {f"run-{ids['wandb']}.wandb"}
    # W&B's own process may write the last of it after the run was finished.
    for word in (b"learning_rate", b"dev/ndcg_at_10", b"WIN"):
        wait_until(lambda word=word: any(word in file.read_bytes() for file in files))


def test_a_tool_that_fails_is_named_once_and_the_training_ends_well(world, tmp_path, caplog):
    (tmp_path / "tensorboard").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        train(world, tmp_path, tracked_config(world, "tensorboard"), SilentProgress())
    said = [one.getMessage() for one in caplog.records if "tracking" in one.getMessage()]
    assert len(said) == 1
    assert "tensorboard failed" in said[0]
    assert record_of(tmp_path / "model").steps


def test_tracking_is_off_by_default_and_makes_no_artifact_stale(world, tmp_path):
    plain, tracked = tiny_config(world), tracked_config(world, "tensorboard", report=True)
    assert isinstance(tracking_of(plain, tmp_path), NoTracking)
    assert stage_settings(plain, "train") == stage_settings(tracked, "train")
    train(world, tmp_path, plain, SilentProgress())
    train(world, tmp_path, tracked, Interrupt(1))  # would be interrupted if it trained again
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.parametrize(
    ("tool", "installed", "says"),
    [
        ("mlflow", False, r"embedtune\[tracking\]"),
        ("mlflow", True, "MLFLOW_TRACKING_URI"),
        ("wandb", True, "API_KEY"),
    ],
)
def test_a_tool_that_cannot_be_used_is_refused_before_anything_runs(
    world, tmp_path, monkeypatch, tool, installed, says
):
    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("embedtune.tracking.trackers.find_spec", lambda _: object() if installed else None)
    with pytest.raises(ConfigError, match=says):
        tracking_of(tracked_config(world, tool), tmp_path)


def test_what_is_recorded_has_neither_address_nor_header(world):
    llm = {"base_url": "http://10.0.0.7/v1", "model": "m", "headers": {"x-team": "red"}}
    contract = tiny_config(world).contract.model_dump()
    recorded = tracked_settings(parse_config({"contract": contract, "generate": {"llm": llm}}))
    assert recorded["generate.llm.model"] == "m"
    assert not any("10.0.0.7" in value or value == "red" for value in recorded.values())
