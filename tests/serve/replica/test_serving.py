"""Which release answers at a moment, by the file that a follower writes; Triton's live model agrees."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedtune.core.errors import ArtifactError
from embedtune.core.records.base import render_record
from embedtune.serve.release import triton_live
from embedtune.serve.replica import serving as module
from embedtune.serve.replica.serving import SILENT_S, ProvenRelease, Serving, ServingReader, write_serving
from embedtune.serve.store.replicas import GONE_S

A, B = ProvenRelease(id="a" * 64, model="m@a.1"), ProvenRelease(id="b" * 64, model="m@b.2")


def test_the_live_release_answers_until_the_moment_of_the_switch_and_then_the_next_one() -> None:
    serving = Serving(written=100.0, proven=(A, B), live=A.id, next=B.id, pause_at=105.0, switch_at=105.0)
    assert [serving.live_at(moment) for moment in (100.0, 104.999, 105.0, 110.0)] == [A.id, A.id, B.id, B.id]


def test_between_the_earliest_and_the_latest_moment_of_the_switch_nothing_answers_and_requests_wait() -> None:
    serving = Serving(written=100.0, proven=(A, B), live=A.id, next=B.id, pause_at=104.0, switch_at=104.5)
    moments = (103.999, 104.0, 104.25, 104.5)
    assert [serving.live_at(moment) for moment in moments] == [A.id, None, None, B.id]
    assert [serving.pause(moment) for moment in moments] == [0.0, 0.5, 0.25, 0.0]


@pytest.mark.parametrize("known", [{"proven": (A,)}, {"fence_at": 104.1}, {"written": 70.0}])
def test_nobody_waits_for_a_release_that_will_not_answer(known: dict[str, object]) -> None:
    given = {"written": 100.0, "proven": (A, B), "live": A.id, "next": B.id, "pause_at": 104.0, "switch_at": 104.5}
    assert Serving.model_validate(given | known).pause(104.2) == 0.0


def test_a_release_that_is_not_proven_here_does_not_answer() -> None:
    serving = Serving(written=100.0, proven=(A,), live=A.id, next=B.id, pause_at=105.0, switch_at=105.0)
    assert serving.live_at(104.0) == A.id
    assert serving.live_at(105.0) is None


def test_from_the_fence_on_nothing_answers() -> None:
    serving = Serving(written=100.0, proven=(A,), live=A.id, fence_at=105.0)
    assert [serving.live_at(moment) for moment in (105.0, 105.001)] == [A.id, None]


def test_the_word_of_a_follower_that_has_stopped_does_not_count_for_long() -> None:
    serving = Serving(written=100.0, proven=(A,), live=A.id)
    assert [serving.live_at(100 + SILENT_S), serving.live_at(100.001 + SILENT_S)] == [A.id, None]
    # By then nobody that deploys has given up waiting for it.
    assert SILENT_S < GONE_S / 2


names = st.sampled_from([None, A.id, B.id])
moments = st.integers(95, 145)


maybe = st.none() | moments


@given(st.sets(st.sampled_from([A, B])), names, names, st.tuples(maybe, maybe), maybe, moments)
def test_the_live_model_in_triton_follows_the_same_rules(proven, live, later, switch, fence_at, now) -> None:
    pause_at, switch_at = sorted(switch) if None not in switch else (None, None)
    at = {"pause_at": pause_at, "switch_at": switch_at, "fence_at": fence_at}
    serving = Serving(written=100.0, proven=tuple(proven), live=live, next=later, **at)
    expected = serving.live_at(now)
    told = json.loads(render_record(serving))
    entry = triton_live.live_entry(told, now)
    assert (entry["id"], entry["model"]) == (expected, serving.model_of(expected)) if expected else entry is None
    assert triton_live.pause(told, now) == serving.pause(now)
    assert triton_live.SILENT_S == module.SILENT_S
    assert triton_live.LONGEST_PAUSE_S == module.LONGEST_PAUSE_S


def test_the_live_model_in_triton_waits_at_a_switch_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [104.25], []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(triton_live.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(triton_live.asyncio, "sleep", sleep)
    known = Serving(written=100.0, proven=(A, B), live=A.id, next=B.id, pause_at=104.0, switch_at=104.5)
    write_serving(tmp_path / "serving.json", known)
    model = triton_live.TritonPythonModel()
    where = {"parameters": {"serving": {"string_value": str(tmp_path / "serving.json")}}}
    model.initialize({"model_config": json.dumps(where)})
    assert asyncio.run(model._live())["id"] == B.id
    assert slept == [0.25]


def test_a_replaced_file_is_read_again(tmp_path: Path) -> None:
    reader = ServingReader(tmp_path / "serving.json", clock=lambda: 7.0)
    assert reader.read() == Serving(written=7.0, doing="the server has not started yet")
    for live in (A.id, B.id):
        write_serving(tmp_path / "serving.json", Serving(written=1.0, proven=(A, B), live=live))
        assert reader.read().live == live
        assert reader.read() is reader.read()


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "serving.json").write_text("{}")
    with pytest.raises(ArtifactError, match="serving version 0"):
        ServingReader(tmp_path / "serving.json").read()
