"""What a task has paid for survives its pod: a killed process, an empty disk, and an outage of the store."""

import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from kfp import dsl

from components import kept as module
from components.generate.component import generate
from components.ingest.component import ingest
from components.inputs import stage_yaml
from components.kept import Checkpoints, kept
from components.parameters import Form, run_config
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.config.machine import StorageSettings
from embedtune.core.errors import ArtifactError, InputError
from embedtune.core.secrets import Secrets
from embedtune.generate import kept_replies
from embedtune.generate.kept_replies import Replies
from embedtune.llm.cache import ReplyRow
from embedtune.llm.kept_replies import KeptReply, add_replies, new_replies, pack, unpack
from embedtune.serve.store.directory import open_objects
from embedtune.serve.store.objects import Objects
from tests.support.base_vectors import no_base_vectors
from tests.support.object_store import ENDPOINT, SECRETS, STORAGE, a_bucket
from tests.support.openai_replies import Call
from tests.support.openai_server import OpenAIServer
from tests.support.tiny_run import settings, write_documents
from tests.support.training_world import make_world, tiny_config, train, weights
from tests.support.waiting import wait_until

ANSWERED, CONCURRENCY = 12, 4
CHILD = """
import json, sys
from importlib import import_module
from kfp import dsl
name, config, inputs, outputs = json.loads(sys.argv[1])
artifact = lambda uri: dsl.Artifact(uri=uri)
body = getattr(import_module(f"components.{name}.component"), name).python_func
body(config, *map(artifact, inputs), *map(artifact, outputs))
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Objects]:
    """A bucket, or a directory where there is no S3 server."""
    if ENDPOINT is None:
        yield open_objects(str(tmp_path / "kept"), StorageSettings(), Secrets())
        return
    with a_bucket() as bucket:
        yield open_objects(f"s3://{bucket.name}/kept", STORAGE, SECRETS)


def with_place(config: Config, place: Objects, stage: str) -> str:
    storage = STORAGE.model_copy(update={"kept": place.uri})
    data = config.model_dump() | {"storage": storage.model_dump()}
    return stage_yaml(parse_config(data), stage)


def task(name: str, config: str, inputs: list[Path], outputs: list[Path]) -> "subprocess.Popen[bytes]":
    """Start a component in a process of its own, whose cache is a temporary directory."""
    arguments = json.dumps([name, config, list(map(str, inputs)), list(map(str, outputs))])
    return subprocess.Popen([sys.executable, "-c", CHILD, arguments])


def kill(process: "subprocess.Popen[bytes]", when: Callable[[], bool]) -> None:
    while not when():
        assert process.poll() is None, "it has ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def reply(number: int, text: str = "{}") -> KeptReply:
    row = ReplyRow(
        key=f"{number:064x}",
        prompt="p",
        model="m",
        parameters="{}",
        schema_hash="s",
        text=text,
        prompt_tokens=1,
        completion_tokens=2,
    )
    return KeptReply(row=row, documents=("a", f"d{number}"))


def all_kept(place: Objects) -> list[KeptReply]:
    found = [place.read(key) for key in place.keys("replies/")]
    return [one for small in found if small for one in unpack(small.text, small.address)]


def test_generate_killed_in_mid_work_goes_on_in_an_empty_directory(place: Objects, tmp_path: Path) -> None:
    hung = [True]

    def hang(call: Call) -> str | None:
        return "stall" if hung[0] and call.index >= ANSWERED else None

    documents, chunks = write_documents(tmp_path / "documents"), tmp_path / "chunks"
    with OpenAIServer(faults=hang) as server:
        given = settings(tmp_path, server.url) | {"generate.llm.concurrency": CONCURRENCY}
        config = run_config(Form("minilm", overrides=given))
        text, artifact = stage_yaml(config, "ingest"), dsl.Artifact(uri=str(chunks))
        ingest.python_func(str(documents), "", text, artifact, dsl.Markdown(uri=str(tmp_path / "s")))
        text = with_place(config, place, "generate")
        outputs = [tmp_path / "questions", tmp_path / "summary"]
        inputs = [chunks, no_base_vectors(tmp_path / "base_vectors")]
        lost = task("generate", text, inputs, outputs)
        kill(lost, lambda: server.faulted["stall"] >= CONCURRENCY and len(all_kept(place)) == ANSWERED)
        hung[0] = False
        generate.python_func(text, *(dsl.Artifact(uri=str(path)) for path in (*inputs, *outputs)))
        # What was answered before the kill was paid for once; only calls in flight were sent again.
        assert server.answered == Counter({call.fingerprint: 1 for call in server.calls})
        assert len(server.calls) <= server.completions + CONCURRENCY
        paid = server.completions
        shutil.rmtree(outputs[0])
        generate.python_func(text, *(dsl.Artifact(uri=str(path)) for path in (*inputs, *outputs)))
        assert server.completions == paid  # a later run pays for nothing


def test_train_killed_in_mid_work_goes_on_to_the_same_weights(
    place: Objects, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from components.train.component import train as component

    world = make_world(tmp_path / "world")
    config = tiny_config(world, epochs=30, checkpoint_steps=5)
    train(world, tmp_path / "whole", config)
    text = with_place(config, place, "train")
    inputs = [world.triplets, world.dataset, no_base_vectors(tmp_path / "base_vectors")]
    outputs = [tmp_path / "model", tmp_path / "summary"]
    lost = task("train", text, inputs, outputs)
    kill(lost, lambda: any(key.endswith(module.STATE) for key in place.keys("train/")))
    with caplog.at_level(logging.INFO, logger="embedtune"):
        component.python_func(text, *(dsl.Artifact(uri=str(path)) for path in (*inputs, *outputs)))
    assert "training continues from" in caplog.text
    whole, after = weights(tmp_path / "whole"), weights(tmp_path / "model")
    assert all(np.array_equal(whole[name], after[name]) for name in whole)
    assert place.keys("train/") == []  # a finished training needs no checkpoints


def test_packed_replies_come_back_and_damaged_ones_are_named(tmp_path: Path) -> None:
    replies = [reply(1, "ä\u2028"), reply(2)]
    add_replies(tmp_path / "llm.sqlite", unpack(pack(replies), "here"))
    assert new_replies(tmp_path / "llm.sqlite", ()) == replies
    assert new_replies(tmp_path / "llm.sqlite", {replies[0].row.key}) == replies[1:]
    add_replies(tmp_path / "llm.sqlite", [reply(2, "other")])
    assert new_replies(tmp_path / "llm.sqlite", ()) == replies
    for damaged in (b"{}", pack(replies)[:-9], pack([]) + b"x"):
        with pytest.raises(ArtifactError, match="damaged: here"):
            unpack(damaged, "here")


def test_many_small_objects_become_one(place: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_replies, "MERGE_ABOVE", 3)
    task_cache = tmp_path / "one"
    part = Replies(place, task_cache)
    assert part.pull() == 0
    for number in range(4):
        add_replies(task_cache / "llm.sqlite", [reply(number)])
        part.push()
        part.push()
    assert len(place.keys("replies/")) == 4
    for name in ("two", "three"):
        assert Replies(place, tmp_path / name).pull() == 4
        assert len(place.keys("replies/")) == 1
        assert new_replies(tmp_path / name / "llm.sqlite", ()) == [reply(number) for number in range(4)]


def test_an_outage_is_said_once_and_what_was_new_is_kept_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place, down = open_objects(str(tmp_path / "kept"), StorageSettings(), Secrets()), [True]
    upload = type(place).upload

    def fail(self: Objects, file: Path, key: str) -> None:
        if down[0]:
            raise InputError("the object store refused the request or did not answer")
        upload(self, file, key)  # type: ignore[arg-type]

    monkeypatch.setattr(type(place), "upload", fail)
    monkeypatch.setattr(module, "PAUSE_S", 0.01)
    with caplog.at_level(logging.INFO, logger="components.kept"), kept(place, tmp_path / "cache", "replies"):
        add_replies(tmp_path / "cache" / "llm.sqlite", [reply(1)])
        wait_until(lambda: "the task goes on" in caplog.text)
        add_replies(tmp_path / "cache" / "llm.sqlite", [reply(2)])
        down[0] = False
    assert caplog.text.count("the task goes on") == 1
    assert "again" in caplog.text
    assert {one.row.key for one in all_kept(place)} == {reply(1).row.key, reply(2).row.key}


def test_a_checkpoint_without_its_state_is_not_used_and_the_best_one_stays_known(tmp_path: Path) -> None:
    place = open_objects(str(tmp_path / "kept"), StorageSettings(), Secrets())
    lost = tmp_path / "lost" / "train" / "key" / "checkpoint-5"
    lost.mkdir(parents=True)
    (lost / "model.safetensors").write_text("weights")
    Checkpoints(place, tmp_path / "lost").push()
    assert place.keys("") == []
    (lost / module.STATE).write_text(json.dumps({"best_model_checkpoint": str(lost)}))
    part = Checkpoints(place, tmp_path / "lost")
    part.push()
    place.upload(lost / "model.safetensors", "train/key/checkpoint-9/model.safetensors")  # its pod was lost then
    # Its best one was not kept.
    later = lost.with_name("checkpoint-12")
    later.mkdir()
    (later / module.STATE).write_text(json.dumps({"best_model_checkpoint": str(lost.with_name("checkpoint-9"))}))
    part.push()
    assert not any("checkpoint-12" in key for key in place.keys(""))
    after = Checkpoints(place, tmp_path / "new")
    assert after.pull() == 1
    found = tmp_path / "new" / "train" / "key" / "checkpoint-5"
    assert json.loads((found / module.STATE).read_text())["best_model_checkpoint"] == str(found)
    shutil.rmtree(found)
    after.push()
    assert place.keys("train/") == []


def test_an_older_checkpoint_stays_until_a_newer_one_is_kept(tmp_path: Path) -> None:
    """Otherwise a pod that is lost between two pushes has nothing to go on from."""
    place = open_objects(str(tmp_path / "kept"), StorageSettings(), Secrets())
    part = Checkpoints(place, tmp_path / "cache")

    def checkpoint(step: int, state: str) -> Path:
        folder = tmp_path / "cache" / "train" / "key" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / module.STATE).write_text(state)
        return folder

    def kept_steps() -> set[str]:
        return {key.split("/")[2] for key in place.keys("train/")}

    first = checkpoint(3, "{}")
    part.push()
    shutil.rmtree(first)
    second = checkpoint(6, '{"best_')  # is just being written
    part.push()
    assert kept_steps() == {"checkpoint-3"}
    (second / module.STATE).write_text(json.dumps({"best_model_checkpoint": str(second)}))
    part.push()
    assert kept_steps() == {"checkpoint-6"}


def test_nothing_is_kept_unless_a_place_is_named(tmp_path: Path) -> None:
    with kept(None, tmp_path, "replies"):
        pass
    assert list(tmp_path.iterdir()) == []
    assert "kept" not in yaml.safe_load(stage_yaml(run_config(Form("minilm")), "generate")).get("storage", {})


class _Hostile:
    """A store whose keys lead out of the cache, which S3 allows."""

    uri = "s3://somebody/kept/"

    def __init__(self, *keys: str) -> None:
        self._keys = keys
        self.downloaded: list[Path] = []

    def keys(self, under: str) -> list[str]:
        return [key for key in self._keys if key.startswith(under)]

    def download(self, key: str, file: Path) -> str:
        self.downloaded.append(file)
        return ""


@pytest.mark.parametrize(
    ("part", "keys"),
    [
        (Replies, ["bundles/../../evil.json"]),
        (Checkpoints, ["train/k/checkpoint-1/../../../../../evil", "train/k/checkpoint-1/trainer_state.json"]),
        (Checkpoints, ["train/../../k/checkpoint-1/trainer_state.json"]),
    ],
)
def test_a_key_that_leads_out_of_the_cache_is_refused(
    part: type[Replies] | type[Checkpoints], keys: list[str], tmp_path: Path
) -> None:
    store = _Hostile(*keys)
    with pytest.raises(ArtifactError, match="points outside its folder"):
        part(store, tmp_path / "cache").pull()  # type: ignore[arg-type] - what it does not have is not called
    assert store.downloaded == []
