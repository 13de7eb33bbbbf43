"""Every process of the service is killed at random moments of a switch under load; nothing wrong answers.

EMBEDTUNE_TEST_KILLS is the number of kills (default: 3); EMBEDTUNE_TEST_SEED chooses the moments. The store is a
process, and is killed too, where EMBEDTUNE_TEST_MINIO names a program that starts one.
"""

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from embedtune.serve.release.record import Release
from embedtune.serve.triton.installation import Installation
from tests.support.judged_load import loaded
from tests.support.kills import Service, running, two_and_a_liar
from tests.support.minio_server import SERVE, MinioServer

KILLS = int(os.environ.get("EMBEDTUNE_TEST_KILLS", "3"))
SEED = int(os.environ.get("EMBEDTUNE_TEST_SEED", "1"))
VICTIMS = ("deploy", *(("store",) if SERVE else ()), "replica", "stub", "triton", "gateway")
LONGEST_OUTAGE_S = 5.0  # of the store; a switch is announced 10 s before
LONGEST_S = 13.0  # from the start of a deployment: to load, to prove, and 10 s until the switch


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Release]:
    """Two good releases of different models, and one with the reference of another one."""
    return two_and_a_liar(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def service(tmp_path: Path, releases: list[Release]) -> Iterator[Service]:
    """A service whose third release is the lying one."""
    with MinioServer(tmp_path / "minio") if SERVE else nullcontext() as minio:
        yield Service(tmp_path, releases, minio)


def test_no_kill_at_any_moment_of_a_switch_lets_a_wrong_answer_out(
    installation: Installation, service: Service, tmp_path: Path
) -> None:
    rng, judge, (one, two, lying) = random.Random(SEED), service.judge, service.releases
    with running(service), loaded(judge, clients=3):
        assert service.deploy(one.id).wait(120) == 0
        for number in range(KILLS):
            before = judge.pointer().live
            new = lying if rng.random() < 0.25 else (two if before == one.id else one)
            deploying = service.deploy(new.id)
            pause, victim = rng.uniform(0, LONGEST_S), VICTIMS[number % len(VICTIMS)]
            with suppress(subprocess.TimeoutExpired):
                deploying.wait(pause)
            service.kill(victim, rng.uniform(0, LONGEST_OUTAGE_S))
            went_live = deploying.wait(180) == 0
            pointer = judge.pointer()
            assert pointer.live != lying.id
            assert not went_live or (pointer.live, pointer.kept) == (new.id, before)
            judge.wait_for(pointer.live, f"kill {number} ({victim} after {pause:.1f} s)")
    wrong = judge.wrong()
    assert not wrong, f"{wrong}; the switches were {judge.switches}"
    assert len(judge.answers) > 20 * KILLS
    whole = [service.store.download(release.id, tmp_path / "whole").id for release in service.store.releases()]
    assert sorted(whole) == sorted(release.id for release in service.releases)
