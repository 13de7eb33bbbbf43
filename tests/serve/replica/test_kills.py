"""Deploy, gateway, replica and Triton are killed at random moments of a switch under load; nothing wrong answers.

EMBEDTUNE_TEST_KILLS is the number of kills (default: 3); EMBEDTUNE_TEST_SEED chooses the moments.
"""

import os
import random
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from embedtune.core.artifacts import write_artifact
from embedtune.core.config.serve import ServeSettings
from embedtune.serve.release.build import build_release
from embedtune.serve.release.record import REFERENCE_FILE, Release
from embedtune.serve.triton.installation import Installation
from tests.support.context import provenance
from tests.support.kills import Service, loaded, running
from tests.support.tiny_engine import make_tiny_engine

KILLS = int(os.environ.get("EMBEDTUNE_TEST_KILLS", "3"))
SEED = int(os.environ.get("EMBEDTUNE_TEST_SEED", "1"))
VICTIMS = ("deploy", "replica", "stub", "triton", "gateway")
LONGEST_S = 10.0  # from the start of a deployment: to load, to prove, and 7 s until the switch


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Release]:
    """Two good releases of different models, and one with the reference of another one."""
    folder = tmp_path_factory.mktemp("releases")
    engines = [make_tiny_engine(folder / f"engine-{seed}", seed=seed) for seed in range(3)]
    with write_artifact(folder / "lying", "engine", provenance()) as draft:
        shutil.copytree(engines[2], draft.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
        shutil.copyfile(engines[0] / REFERENCE_FILE, draft.path / REFERENCE_FILE)
    return [build_release(engine, folder, ServeSettings()) for engine in (*engines[:2], folder / "lying")]


def test_no_kill_at_any_moment_of_a_switch_lets_a_wrong_answer_out(
    installation: Installation, releases: list[Release], tmp_path: Path
) -> None:
    rng, (one, two, lying) = random.Random(SEED), releases
    service = Service(tmp_path, [one, two, lying])
    del service.vectors[lying.id]  # its reference is that of the first one
    with running(service), loaded(service, clients=3):
        assert service.deploy(one.id).wait(120) == 0
        for number in range(KILLS):
            now = service.store.pointer().live
            new = lying if rng.random() < 0.25 else (two if now == one.id else one)
            deploying = service.deploy(new.id)
            pause, victim = rng.uniform(0, LONGEST_S), VICTIMS[number % len(VICTIMS)]
            with suppress(subprocess.TimeoutExpired):
                deploying.wait(pause)
            service.kill(victim)
            deploying.wait(180)
            live = service.store.pointer().live
            assert live != lying.id
            service.wait_for(live, f"kill {number} ({victim} after {pause:.1f} s)")
    assert service.wrong() == []
    assert len(service.answers) > 20 * KILLS
    assert len(service.store.releases()) == 3
