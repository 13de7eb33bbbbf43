"""Recordings: exported once, replayed without any LLM call, the same bytes for the same replies."""

import gzip
import json
import re

import numpy as np
import pytest
from pydantic import BaseModel

from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.errors import ArtifactError, InputError
from embedtune.generate import stage
from embedtune.generate.bundle_file import bundle_file
from embedtune.llm.cache import ResponseCache
from embedtune.llm.errors import ReplayMiss
from tests.support.generate_world import ROWS
from tests.support.openai_replies import built_reply


class Perturbed(TorchEncoder):
    """The vectors of another CPU."""

    def encode_passages(self, texts, progress):
        vectors = super().encode_passages(texts, progress)
        return vectors + np.random.default_rng(7).normal(scale=0.02, size=vectors.shape).astype(np.float32)


def test_a_recording_is_replayed_without_a_call_with_other_vectors(world, monkeypatch):
    world.run(round_trip_share=1.0)
    path, count = world.record()
    paid = world.server.completions
    assert count == paid
    monkeypatch.setattr(stage, "TorchEncoder", Perturbed)
    report = world.run(output="replayed", cache=world.folder / "fresh", recording=str(path), round_trip_share=1.0)
    assert world.server.completions == paid
    assert (report.metrics["calls"], report.metrics["cached_calls"]) == (0, paid)
    assert (report.metrics["generator"], report.metrics["generator_licence"]) == ("test", "Apache-2.0")
    assert any("Apache-2.0" in note and "2026-01-02" in note and "test" in note for note in report.notes)

    def asked(output):
        return {
            (r["question"], tuple(r["chunk_ids"]))
            for t in ("questions", "rejected")
            for r in world.rows(t, output)
        }

    assert asked("replayed") == asked("questions")
    assert any(len(chunk_ids) > 1 for _, chunk_ids in asked("replayed"))


def test_a_call_that_failed_in_the_recorded_run_fails_in_the_replay_and_does_not_stop_it(world):
    poisoned = [ROWS[3][2], ROWS[5][2]]

    def replies(call):
        text = call.original[-1]["content"]
        judging = "Answer:" in text
        broken = poisoned[0] in text or (judging and poisoned[1] in text)
        return "cats" if broken else built_reply(call)

    world.server.replies = replies
    world.run(bundles_per_chunk=0.0)
    path, _ = world.record(bundles_per_chunk=0.0)
    with gzip.open(path, "rt") as stream:
        header = json.loads(stream.readline())["header"]
    assert len(header["unanswered"]) == 2
    report = world.run(output="replayed", recording=str(path), bundles_per_chunk=0.0)
    assert world.rows(output="replayed") == world.rows()
    lost = {row["reason"] for row in world.rows("rejected", "replayed") if row["reason"].startswith("failed")}
    assert lost == {"failed: not recorded"}
    assert any("2 calls have no reply" in note for note in report.notes)


def test_only_replies_to_the_calls_of_this_configuration_are_recorded(world):
    world.run(questions_per_chunk=3)
    report = world.run(output="again")
    path, count = world.record()
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == 1 + count
    # The calls about bundles are the same in both runs, and so cached in the second.
    assert report.metrics["cached_calls"] > 0
    assert count == report.metrics["calls"] + report.metrics["cached_calls"]
    assert count < world.server.completions
    with pytest.raises(InputError, match="this configuration"):
        world.record(questions_per_chunk=7, bundles_per_chunk=0.0)


def test_recordings_of_the_same_replies_are_the_same_bytes(world):
    world.run()
    one, other = world.record("one.gz")[0], world.record("two.gz")[0]
    assert one.read_bytes() == other.read_bytes()


def test_a_newer_recording_replaces_an_older_one(world):
    world.run(bundles_per_chunk=0.0)
    old, _ = world.record("old.gz", bundles_per_chunk=0.0)
    world.run(output="q1", cache=world.folder / "replays", recording=str(old), bundles_per_chunk=0.0)
    lines = gzip.decompress(old.read_bytes()).decode().splitlines()
    new = world.folder / "new.gz"
    new.write_bytes(
        gzip.compress("\n".join(re.sub(r'\\"clarity\\": \d+', r'\\"clarity\\": 4', x) for x in lines).encode())
    )
    world.run(output="q2", cache=world.folder / "replays", recording=str(new), bundles_per_chunk=0.0)
    assert world.rows(output="q1")
    assert world.rows(output="q2") == []


def test_a_replay_has_the_bundles_of_the_recording_even_if_more_are_configured(world):
    world.run(bundles_per_chunk=0.2)
    path, count = world.record(bundles_per_chunk=0.2)
    report = world.run(output="replayed", recording=str(path), bundles_per_chunk=1.0)
    assert report.metrics["cached_calls"] == count


def test_with_other_documents_the_error_names_the_prompt_and_the_ways_out(world):
    world.run()
    path, _ = world.record()
    with pytest.raises(ReplayMiss, match="generate_single") as caught:
        world.run(rows=[("new", "train", "Something else about valves.")], output="other", recording=str(path))
    assert "generate.llm.base_url" in str(caught.value)


def test_a_part_of_the_recorded_documents_can_be_replayed(world):
    world.run()
    path, _ = world.record()
    paid = world.server.completions
    world.run(rows=ROWS[:8], output="fewer", recording=str(path))
    assert world.server.completions == paid
    assert world.rows(output="fewer")


class OtherHeader(BaseModel):
    model: str


def test_a_recording_that_is_missing_or_of_another_kind_is_an_input_error(world):
    with pytest.raises(InputError, match="does not exist"):
        world.run(recording="nowhere.gz")
    path = world.folder / "foreign.gz"
    with ResponseCache(world.folder / "empty.sqlite") as replies:
        replies.export(path, OtherHeader(model="x"))
    with pytest.raises(InputError, match="recording of a different kind"):
        world.run(recording=str(path))


def test_bundles_of_an_older_run_are_read_and_a_damaged_file_is_refused(world):
    world.run()
    path = bundle_file(world.config(), world.cache)
    bundles = json.loads(path.read_text())
    assert bundles
    assert all(isinstance(chunk_id, str) for bundle in bundles for chunk_id in bundle)
    path.write_text(json.dumps(bundles[:1]))
    world.run(output="again")
    assert bundles[0] in json.loads(path.read_text())
    path.write_text('{"bundles": 1}')
    with pytest.raises(ArtifactError, match="damaged"):
        world.run(output="third")
