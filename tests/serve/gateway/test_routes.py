"""The names that clients may send, and which release they mean at the moment."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.routes import Routes
from embedtune.serve.replica.serving import ProvenRelease, Serving, ServingReader, write_serving

A, B = ProvenRelease(id="a1" * 32, model="m@a.1"), ProvenRelease(id="b2" * 32, model="m@b.2")
SHORT_A, SHORT_B = "a1" * 8, "b2" * 8
NAMES = f"m, m-query, m-passage, m@{SHORT_A}, m@{SHORT_B}, m@candidate"


@pytest.fixture
def routes(tmp_path: Path) -> Callable[..., Routes]:
    def make(**values: object) -> Routes:
        given = {"written": 100.0, "proven": (A, B), "live": A.id, "candidate": B.id} | values
        write_serving(tmp_path / "serving.json", Serving.model_validate(given))
        return Routes(ServingReader(tmp_path / "serving.json", clock=lambda: 100.0), "m")

    return make


@pytest.mark.parametrize(
    ("name", "release", "answers_as", "kind"),
    [
        ("m", A, f"m@{SHORT_A}", None),
        ("m-query", A, f"m-query@{SHORT_A}", "query"),
        ("m-passage", A, f"m-passage@{SHORT_A}", "passage"),
        (f"m@{SHORT_A}", A, f"m@{SHORT_A}", None),
        (f"m@{B.id}", B, f"m@{SHORT_B}", None),
        (f"m-query@{SHORT_B[:8]}", B, f"m-query@{SHORT_B}", "query"),
        ("m-passage@candidate", B, f"m-passage@{SHORT_B}", "passage"),
    ],
)
def test_a_name_means_one_release(
    routes: Callable[..., Routes], name: str, release: ProvenRelease, answers_as: str, kind: str | None
) -> None:
    found = routes().find(name)
    assert (found.release, found.model) == (release.id, release.model)
    assert (found.name, found.input_type) == (answers_as, kind)
    assert routes().find(found.name) == found


@pytest.mark.parametrize("name", ["other", "m-other", "m@", "m-query-passage", "", f"other@{SHORT_A}"])
def test_an_unknown_name_is_refused_with_what_is_there(routes: Callable[..., Routes], name: str) -> None:
    with pytest.raises(RefusedError, match="there is no model") as error:
        routes().find(name)
    assert error.value.status == 404
    assert str(error.value).endswith(f"this gateway serves {NAMES}")


@pytest.mark.parametrize("pin", ["c3" * 8, SHORT_A[:7], "candidate"])
def test_a_pinned_release_that_is_gone_is_refused_with_what_is_there(
    routes: Callable[..., Routes], pin: str
) -> None:
    with pytest.raises(
        RefusedError, match=f"release '{pin}' is not loaded; this gateway serves m, m-query"
    ) as error:
        routes(candidate=None).find(f"m@{pin}")
    assert (error.value.status, error.value.code) == (404, "model_not_found")


def test_two_releases_whose_ids_begin_alike_are_not_confused(routes: Callable[..., Routes]) -> None:
    twin = ProvenRelease(id=A.id[:32] + "0" * 32, model="m@twin.3")
    found = routes(proven=(A, twin))
    with pytest.raises(RefusedError, match="is not loaded"):
        found.find(f"m@{SHORT_A}")
    assert found.find(f"m@{twin.id}").model == "m@twin.3"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"live": None}, "no release is live: waiting for the first one"),
        ({"live": None, "doing": "downloading"}, "no release is live: downloading"),
        ({"live": "c3" * 32}, "the live release is not ready on this replica"),
        ({"fence_at": 99.0}, "the live release is not ready on this replica: a switch is in progress"),
        ({"written": 69.0}, "the server does not report what it serves"),
    ],
)
def test_when_none_may_answer_the_client_is_told_to_come_again(
    routes: Callable[..., Routes], values: dict[str, object], reason: str
) -> None:
    with pytest.raises(RefusedError) as error:
        routes(**values).find("m")
    assert (error.value.status, error.value.code, error.value.retry_after_s) == (503, "unavailable", 1)
    assert reason in str(error.value)
    routes(**values).require("m")  # the name is right


def test_pinned_releases_answer_behind_the_fence_too(routes: Callable[..., Routes]) -> None:
    assert routes(fence_at=99.0).find(f"m@{SHORT_A}").release == A.id


def test_the_list_has_what_is_loaded(routes: Callable[..., Routes]) -> None:
    assert routes().names() == NAMES.split(", ")
    assert routes(proven=(A,)).names() == ["m", "m-query", "m-passage", f"m@{SHORT_A}"]


@pytest.mark.parametrize(
    ("chance", "given", "release"),
    [
        (0.09, {}, B),
        (0.1, {}, A),
        (0.09, {"candidate": None}, A),
        (0.09, {"proven": (A,)}, A),
        (0.1, {"next": B.id, "pause_at": 100.0, "switch_at": 100.0}, B),
    ],
)
def test_either_is_the_candidate_for_a_share_of_the_requests_and_else_the_live_release(
    routes: Callable[..., Routes], tmp_path: Path, chance: float, given: dict[str, object], release: ProvenRelease
) -> None:
    routes(**given)
    reader = ServingReader(tmp_path / "serving.json", clock=lambda: 100.0)
    found = Routes(reader, "m", share=0.1, chance=lambda: chance).find("m-query@either")
    assert (found.release, found.model) == (release.id, release.model)
    assert found.name == f"m-query@{release.id[:16]}"


def test_either_waits_as_every_request_does_while_a_switch_is_not_known(
    routes: Callable[..., Routes], tmp_path: Path
) -> None:
    routes(fence_at=99.0)
    reader = ServingReader(tmp_path / "serving.json", clock=lambda: 100.0)
    with pytest.raises(RefusedError) as error:
        Routes(reader, "m", share=0.1, chance=lambda: 0.5).find("m@either")
    assert error.value.status == 503


def test_a_replica_of_another_version_is_named_instead_of_failing(tmp_path: Path) -> None:
    (tmp_path / "serving.json").write_text('{"schema_name": "serving", "schema_version": 1}')
    old = Routes(ServingReader(tmp_path / "serving.json"), "m")
    for ask in (lambda: old.find("m"), old.names, lambda: old.successor(A.id)):
        with pytest.raises(RefusedError, match="started by a different version of embedtune") as error:
            ask()
        assert error.value.status == 503


@pytest.mark.parametrize(
    ("name", "waits"),
    [("m", 0.2), ("m-query", 0.2), ("m@either", 0.2), ("m@candidate", 0.0), (f"m@{SHORT_A}", 0.0)],
)
def test_a_request_in_the_doubtful_moment_of_a_switch_waits_for_the_next_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, waits: float
) -> None:
    slept: list[float] = []
    times = [100.3]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        times[0] += seconds

    monkeypatch.setattr("embedtune.serve.gateway.routes.asyncio.sleep", sleep)
    known = Serving(written=100.0, proven=(A, B), live=A.id, next=B.id, pause_at=100.1, switch_at=100.5)
    write_serving(tmp_path / "serving.json", known.model_copy(update={"candidate": B.id}))
    found = Routes(ServingReader(tmp_path / "serving.json", clock=lambda: times[0]), "m")
    asyncio.run(found.await_switch(name))
    assert sum(slept) == pytest.approx(waits)
    assert found.find(name).release == (A.id if SHORT_A in name else B.id)
