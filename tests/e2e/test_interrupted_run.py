"""A whole run through the command line, killed at random points and started again, with the same result."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from embedtune.core.artifacts import read_artifact
from embedtune.core.stage import STAGES
from embedtune.local.runner import LAST
from tests.support.openai_replies import now_and_then
from tests.support.openai_server import OpenAIServer
from tests.support.tiny_run import overrides, write_documents

RUN = STAGES[: [stage.name for stage in STAGES].index(LAST) + 1]  # the stages of a run without --to

FAULTS = ("429", "500", "503", "short_body", "invalid_json", "truncated", "wrong_schema")
KILLS = 4
CONCURRENCY = 4


def command(documents: Path, work: Path, settings: str, *more: str) -> list[str]:
    changes = [*settings.splitlines(), f"generate.llm.concurrency={CONCURRENCY}"]
    sets = [part for change in changes for part in ("--set", change)]
    start = [sys.executable, "-m", "embedtune", "run", str(documents), "--work", str(work), "--json"]
    return [*start, "--preset", "minilm", *sets, *more]


def run(arguments: list[str], kill_after: float | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OPENAI_API_KEY": "test-key-7", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    if kill_after is not None:
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def fingerprints(work: Path) -> dict[str, str]:
    return {stage.artifact: read_artifact(work / stage.artifact, stage.artifact).fingerprint for stage in RUN}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, write_documents(folder / "documents")


@pytest.fixture(scope="module")
def whole(world):
    """An uninterrupted run and what it wrote."""
    folder, documents = world
    with OpenAIServer(faults=now_and_then(0.2, FAULTS), api_key="test-key-7") as server:
        settings = overrides(folder, server.url)
        began = time.monotonic()
        done = run(command(documents, folder / "whole", settings))
        assert done.returncode == 0, done.stderr
        return (
            settings.replace(server.url, "URL"),
            json.loads(done.stdout),
            time.monotonic() - began,
            server.stats(),
        )


def test_a_run_ends_with_a_verdict_and_a_report(world, whole):
    folder, _ = world
    summary = whole[1]
    assert summary["verdict"]["verdict"] in {"WIN", "MARGINAL", "REGRESSION"}
    assert [stage["stage"] for stage in summary["stages"]] == [stage.name for stage in RUN]
    page = Path(summary["report"])
    assert page == folder / "whole" / "report.html" and "<html" in page.read_text()[:200]


def test_the_key_is_in_no_artifact(world, whole):
    folder, _ = world
    files = [path for path in (folder / "whole").rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if b"test-key-7" in path.read_bytes()] == []


def test_a_run_killed_at_random_points_and_resumed_gives_the_same_result(world, whole):
    folder, documents = world
    settings, _, seconds, undisturbed = whole
    source = random.Random(11)
    with OpenAIServer(faults=now_and_then(0.2, FAULTS), api_key="test-key-7") as server:
        arguments = command(documents, folder / "killed", settings.replace("URL", server.url))
        for _ in range(KILLS):
            killed = run(arguments, kill_after=source.uniform(0.2, 0.8) * seconds)
            assert killed.returncode in (-signal.SIGKILL, 0)
        last = run(arguments)
        assert last.returncode == 0, last.stderr
        # Only calls that were in progress at a kill may have been answered twice.
        assert server.stats()["repeated"] - undisturbed["repeated"] <= KILLS * CONCURRENCY
    assert fingerprints(folder / "killed") == fingerprints(folder / "whole")


def test_a_finished_run_is_not_run_again(world, whole):
    folder, documents = world
    with OpenAIServer(api_key="test-key-7") as server:
        before = {path: path.stat().st_mtime_ns for path in (folder / "whole").rglob("manifest.json")}
        again = run(command(documents, folder / "whole", whole[0].replace("URL", server.url)))
        assert again.returncode == 0, again.stderr
        assert server.stats()["calls"] == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_new_documents_cost_only_their_own_calls(world, whole):
    folder, documents = world
    text = "\n\n".join(
        f"## Gauge {code}\n\nThe gauge {code} of the winch shows slack rope. Wind {turns} turns by hand, reset "
        f"the winch counter and watch the needle {code} for {turns + 3} minutes."
        for code, turns in (("WG-7", 4), ("WG-9", 6), ("WG-11", 9))
    )
    (documents / "99-winch.md").write_text(f"# The winch\n\n{text}\n")
    with OpenAIServer(api_key="test-key-7") as server:
        done = run(command(documents, folder / "whole", whole[0].replace("URL", server.url), "--to", "generate"))
        assert done.returncode == 0, done.stderr
        asked = [call.body["messages"][-1]["content"] for call in server.calls]
    assert asked
    assert [text for text in asked if "winch" not in text] == []


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--set", "train.learning_rat=1"], 2, "unknown key"),
        (["--from", "train", "--to", "mine"], 2, "no stage to run"),
        (["--fail-on", "worse"], 2, "worse"),
        (["--eval-set", "ours"], 2, "NAME=DIR"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_why(tmp_path, more, code, says):
    done = run(command(tmp_path, tmp_path / "work", "", *more))
    assert done.returncode == code
    assert says in done.stderr


def test_documents_without_an_endpoint_are_refused_with_the_alternatives(world, tmp_path):
    _, documents = world
    settings = overrides(tmp_path, "null").replace("generate.llm.model=test", "generate.llm.model=''")
    done = run(command(documents, tmp_path / "work", settings))
    assert done.returncode == 1
    for way in ("generate.llm.base_url", "local-llm", "recording"):
        assert way in done.stderr
