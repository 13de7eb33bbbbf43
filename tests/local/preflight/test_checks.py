"""The checks before a run: what they find, and how a run says it."""

import asyncio
import socket

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from embedtune.cli import cli
from embedtune.core.comparisons import Comparisons
from embedtune.core.config.load import parse_config
from embedtune.core.contract import EncoderContract
from embedtune.core.errors import ConfigError, InputError, LLMEndpointError
from embedtune.core.progress import SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.local.preflight import hardware, software
from embedtune.local.preflight.checks import Check, examine, require_ready
from embedtune.local.preflight.documents import check_documents
from embedtune.local.preflight.finding import Finding, IntendedRun
from embedtune.local.preflight.hardware import GIB, Needs, check_disk, check_memory
from embedtune.local.preflight.llm_endpoints import check_llm_endpoints
from embedtune.local.preflight.network import connects
from embedtune.local.preflight.serving import check_port, check_release_store
from embedtune.local.preflight.software import check_software
from embedtune.local.preflight.tracking import check_tracking
from embedtune.local.runner import Job, run
from embedtune.serve.store.directory import DirectoryObjects
from embedtune.serve.store.pointer import POINTER
from embedtune.serve.store.records import Pointer
from tests.support.openai_server import OpenAIServer
from tests.support.tiny_model import TINY_DIMENSION, make_tiny_model


def intended(stages: str, settings: dict | None = None, **changed) -> IntendedRun:
    base = {"contract": {"base_model": "./none", "dimensions": [TINY_DIMENSION]}}
    config = parse_config(base | (settings or {}))
    return IntendedRun(**{"config": config, "secrets": Secrets(), "stages": frozenset(stages.split())} | changed)


def llm(server: OpenAIServer, **changed) -> dict:
    return {"generate": {"llm": {"base_url": server.url, "model": "test", "retries": 0} | changed}}


def found(check, wanted: IntendedRun) -> list[Finding]:
    return list(check(wanted))


def wrong(*_: object):
    raise ConfigError("the first thing", got="1", fix="do this")


def also_wrong(*_: object):
    yield Finding("fine", "a", "good")
    raise InputError("the second thing")


def test_a_check_runs_only_if_a_stage_needs_it():
    checks = [Check("a", frozenset({"train"}), wrong), Check("b", frozenset({"deploy"}), also_wrong)]
    assert [(one.status, one.checked) for one in examine(intended("train"), checks)] == [("wrong", "a")]
    assert [one.checked for one in examine(intended("train deploy"), checks)] == ["a", "a", "b"]
    require_ready(intended("ingest"), checks)


def test_one_error_is_raised_as_it_is_and_several_together():
    checks = [Check("a", frozenset({"train"}), wrong), Check("b", frozenset({"deploy"}), also_wrong)]
    with pytest.raises(ConfigError, match="the first thing"):
        require_ready(intended("train"), checks)
    with pytest.raises(ConfigError) as caught:
        require_ready(intended("train deploy"), checks)
    assert caught.value.exit_code == ConfigError.exit_code
    first = "- the first thing\n    got:      1\n    do:       do this"
    assert str(caught.value) == f"2 things would stop this run:\n{first}\n- the second thing"


def test_what_is_worth_knowing_is_logged_and_stops_nothing(caplog):
    note = Check("disk", frozenset({"train"}), lambda _: [Finding("note", "disk", "little", "free some")])
    require_ready(intended("train"), [note])
    assert "disk: little: free some" in caplog.text


def test_a_tracking_tool_needs_to_know_where_to_record_except_in_a_pipeline(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracked = {"tracking": {"to": ["mlflow"]}}
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI"):
        found(check_tracking, intended("train", tracked, work=tmp_path))
    assert found(check_tracking, intended("train", tracked)) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert found(check_tracking, intended("train", tracked, work=tmp_path)) == []


def test_a_wrong_key_is_found_before_ingest_by_one_call_in_the_form_of_generate(tmp_path):
    model = make_tiny_model(tmp_path / "model")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\nText.")
    contract = {"contract": {"base_model": str(model), "dimensions": [TINY_DIMENSION], "max_length": 256}}
    with OpenAIServer(api_key="right") as server:
        config = parse_config(contract | llm(server))
        job = Job(tmp_path / "work", config, Secrets(llm_api_key="wrong"), source=str(tmp_path / "docs"))
        with pytest.raises(LLMEndpointError, match="does not accept the API key"):
            run(job, SilentProgress(), before=lambda *_: pytest.fail("a stage was started"))
        assert len(server.calls) == 1
        sent = server.calls[0].body
        assert sent["response_format"]["type"] == "json_schema" and "tide table" in str(sent["messages"])
    assert not job.work.exists()


def test_a_slow_server_is_not_absent():
    with OpenAIServer(delay_s=2.0) as server:
        wanted = intended("generate", llm(server, timeout_s=30), patience_s=0.2)
        assert [(one.status, one.checked) for one in found(check_llm_endpoints, wanted)] == [("fine", "generator")]
        limit = intended("generate", llm(server, timeout_s=0.2))
        (slow,) = found(check_llm_endpoints, limit)
    assert slow.status == "note" and "is there, but has not replied within" in slow.found
    assert "generate.llm.timeout_s (0.2)" in slow.fix


def test_a_server_that_is_not_there_is():
    with OpenAIServer() as server:
        settings = llm(server)
    (finding,) = found(check_llm_endpoints, intended("generate", settings))
    assert finding.status == "wrong" and isinstance(finding.error, LLMEndpointError)


def test_a_busy_server_stops_no_run():
    with OpenAIServer(faults=lambda call: "503") as server:
        (finding,) = found(check_llm_endpoints, intended("generate", llm(server)))
    assert finding.status == "note" and "busy" in finding.fix


def test_a_judge_of_its_own_is_asked_too():
    with OpenAIServer() as server, OpenAIServer(models=frozenset({"other"})) as judge:
        settings = llm(server)
        settings["generate"]["judge"] = {"base_url": judge.url, "model": "unknown"}
        first, second = found(check_llm_endpoints, intended("generate", settings))
    assert (first.status, second.status) == ("fine", "wrong")
    assert "generate.judge.model" in second.fix


def test_no_call_is_paid_for_with_a_ceiling_of_nothing():
    with OpenAIServer() as server:
        settings = llm(server, price_in=1, price_out=1, max_tokens=100)
        settings["generate"]["max_cost"] = 0
        (finding,) = found(check_llm_endpoints, intended("generate", settings))
        assert server.stats()["calls"] == 0
    assert "max_cost is 0" in finding.found


def test_remote_code_needs_a_commit():
    fields = {"base_model": "org/model", "dimensions": (8,), "trust_remote_code": True}
    for revision in ("main", "v1.0", "A" * 40, "a" * 39):
        with pytest.raises(ValidationError, match="40 hexadecimal digits"):
            EncoderContract(revision=revision, **fields)
    assert EncoderContract(revision="0a" * 20, **fields).revision
    assert EncoderContract(base_model="org/model", dimensions=(8,), revision="main").revision == "main"


def test_documents_that_a_run_does_not_read_are_named(tmp_path):
    options = ["--work", str(tmp_path / "w"), "--from", "split", "--to", "split", "--set", "release.uri=x"]
    result = CliRunner().invoke(cli, ["run", "mydocs", *options])
    assert "mydocs is not read: the run starts at split" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("settings", "stages", "lacks", "says"),
    [
        ({}, "export", "onnxscript", "embedtune[export]"),
        ({}, "deploy", "tritonclient", "embedtune[serve]"),
        (
            {"generate": {"mask": {"models": {"en": "en_core_web_lg"}}}},
            "generate",
            "presidio_analyzer",
            "embedtune[privacy]",
        ),
        ({"runtime": {"attention": "flash_attention_2"}}, "train", "flash_attn", "flash-attn"),
    ],
)
def test_a_missing_extra_is_named_before_the_first_stage(monkeypatch, settings, stages, lacks, says):
    monkeypatch.setattr(software, "_missing", lambda modules: [name for name in modules if name == lacks])
    with pytest.raises(ConfigError) as caught:
        found(check_software, intended(stages, settings | {"deploy": {"target": "kubernetes"}}))
    assert lacks in str(caught.value.got) and says in str(caught.value.fix)
    assert found(check_software, intended("ingest", settings)) == []


def test_documents_are_counted(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.md").write_bytes(b"x" * 1_500_000)
    (tmp_path / "deep" / "b.md").write_bytes(b"x" * 500_000)
    (finding,) = found(check_documents, intended("ingest", documents=str(tmp_path)))
    assert finding.found == f"2 files, 2.0 MB in {tmp_path}"
    with pytest.raises(InputError, match="do not exist"):
        found(check_documents, intended("ingest", documents=str(tmp_path / "none")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no files"):
        found(check_documents, intended("ingest", documents=str(tmp_path / "empty")))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A model of a million parameters, and a corpus of 2,000 chunks."""
    monkeypatch.setattr(hardware, "parameters", lambda path: 1_000_000)
    wanted = intended("ingest train", {"runtime": {"device": "cpu"}}, work=tmp_path, documents="docs")
    wanted.__dict__.update(base=tmp_path, document_sizes=[3_000_000, 1_000_000])
    return wanted


def test_needs_are_computed_from_model_and_corpus(small):
    needs = Needs.of(small)
    assert needs.memory == 16e6  # weights, gradients and two moments in float32
    assert needs.memory_about == 2 * GIB + 16e6 + 2_000 * (6_000 + 2 * 4 * TINY_DIMENSION) + 4e6
    assert needs.disk == 2 * 12e6 + 4e6  # the best and the last checkpoint, and the model
    assert needs.disk_about == GIB / 2 + 3 * 12e6 + 3 * 4e6 + 4 * 4e6 + 2 * 2_000 * 4 * TINY_DIMENSION


def test_adapters_need_no_room_for_gradients_of_all_weights(small):
    config = parse_config(small.config.model_dump() | {"train": {"lora": {}}})
    adapted = IntendedRun(config, small.secrets, small.stages, small.work, documents="docs")
    adapted.__dict__.update(base=small.base, document_sizes=[])
    assert (Needs.of(adapted).memory, Needs.of(adapted).disk) == (4e6, 4e6)


def test_too_little_memory_or_disk_for_the_model_is_refused_and_for_the_corpus_noted(small, monkeypatch):
    monkeypatch.setattr(hardware, "total_memory", lambda: 15e6)
    with pytest.raises(ConfigError, match="cannot be trained in the memory"):
        found(check_memory, small)
    monkeypatch.setattr(hardware, "total_memory", lambda: 17e6)
    monkeypatch.setattr(hardware, "available_memory", lambda: 17e6)
    assert [one.status for one in found(check_memory, small)] == ["note"]
    for free, status in ((29e6, "note"), (2 * GIB, "fine")):
        monkeypatch.setattr(hardware.shutil, "disk_usage", lambda _, free=free: type("Usage", (), {"free": free}))
        assert [one.status for one in found(check_disk, small)] == [status]
    monkeypatch.setattr(hardware.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 27e6}))
    with pytest.raises(ConfigError, match="too little space"):
        found(check_disk, small)


def test_a_port_in_use_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr("embedtune.deploy.local_replica.LocalReplica.follows", lambda self: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError, match="in use") as caught:
            found(check_port, intended("deploy", {"deploy": {"port": max(1024, port - 1)}}))
    assert str(port) in str(caught.value.got)
    assert found(check_port, intended("deploy", {"deploy": {"target": "kubernetes"}})) == []


def test_a_release_store_is_tried_and_left_as_it_is(tmp_path):
    wanted = intended("deploy", {"release": {"uri": str(tmp_path / "store")}}, work=tmp_path)
    (finding,) = found(check_release_store, wanted)
    assert finding.status == "fine" and "nothing is live" in finding.found
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == [".lock", "probe.json"]
    with pytest.raises(InputError, match="release store cannot be read or written"):
        found(check_release_store, intended("deploy", {"release": {"uri": "/proc/1/store"}}, work=tmp_path))


def test_a_store_that_ignores_conditions_is_found_and_its_pointer_not_touched(monkeypatch, tmp_path):
    store = DirectoryObjects(tmp_path)
    store.write(POINTER, Pointer(live=None, since="before"))
    before = (tmp_path / POINTER).read_bytes(), (tmp_path / POINTER).stat().st_mtime_ns
    write = DirectoryObjects.write
    monkeypatch.setattr(
        DirectoryObjects, "write", lambda self, key, record, condition=None: write(self, key, record)
    )
    with pytest.raises(InputError, match="ignores conditional writes"):
        found(check_release_store, intended("deploy", {"release": {"uri": str(tmp_path)}}, work=tmp_path))
    assert ((tmp_path / POINTER).read_bytes(), (tmp_path / POINTER).stat().st_mtime_ns) == before


def test_a_connection_is_tried_once():
    async def listening() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert connects(f"http://127.0.0.1:{port}/v1") is None
        server.close()
        await server.wait_closed()
        assert "no connection" in str(connects(f"http://127.0.0.1:{port}"))

    asyncio.run(listening())


def test_comparisons_are_checked_before_a_run(tmp_path):
    wanted = intended("evaluate", work=tmp_path, comparisons=Comparisons(champion=tmp_path / "nowhere"))
    assert "no encoder contract" in str([one.found for one in examine(wanted) if one.status == "wrong"])


def test_a_mac_is_told_before_the_run_that_triton_runs_on_linux_only(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(InputError, match="Triton runs on Linux only"):
        found(check_software, intended("deploy"))
    assert found(check_software, intended("deploy", {"deploy": {"target": "kubernetes"}})) == []
    assert found(check_software, intended("train evaluate")) == []
