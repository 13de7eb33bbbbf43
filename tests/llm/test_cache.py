"""The cache of LLM replies, and recordings made from it."""

import gzip
import hashlib
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from embedtune.core.errors import ArtifactError, InputError
from embedtune.llm.cache import CachedReply, ResponseCache
from embedtune.llm.cache_key import Origin, RequestIdentity, SamplingParameters

PARAMETERS = SamplingParameters(temperature=0.6, top_p=0.95, max_tokens=100, seed=None)


class Header(BaseModel):
    """A header with whatever fields a test gives it."""

    model_config = ConfigDict(extra="allow")


def request(text: str = "hello", **changed: object) -> RequestIdentity:
    fields = {
        "prompt": "questions",
        "model": "qwen",
        "parameters": PARAMETERS,
        "schema": {"type": "object"},
        "messages": [{"role": "user", "content": text}],
    }
    return RequestIdentity(**{**fields, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "other"},
        {"parameters": replace(PARAMETERS, temperature=0.7)},
        {"parameters": replace(PARAMETERS, seed=1)},
        {"schema": {"type": "array"}},
        {"messages": [{"role": "system", "content": "hello"}]},
        {"messages": []},
    ],
)
def test_everything_that_decides_a_reply_is_in_the_key(changed: dict[str, object]) -> None:
    assert request(**changed).key != request().key


def test_the_name_of_the_prompt_and_the_order_of_fields_are_not_in_the_key() -> None:
    turned = [{"content": "hello", "role": "user"}]
    assert request(prompt="renamed", messages=turned).key == request().key


def test_the_key_is_a_hash_of_what_decides_a_complete_reply() -> None:
    canonical = (
        '{"messages":[{"content":"hello","role":"user"}],"model":"qwen",'
        '"parameters":{"seed":null,"temperature":0.6,"top_p":0.95},"schema":{"type":"object"}}'
    )
    assert request().key == hashlib.sha256(canonical.encode()).hexdigest()
    assert request(parameters=replace(PARAMETERS, max_tokens=4096)).key == request().key


def test_the_older_key_is_the_one_that_existing_caches_and_recordings_have() -> None:
    canonical = (
        '{"messages":[{"content":"hello","role":"user"}],"model":"qwen",'
        '"parameters":{"max_tokens":100,"seed":null,"temperature":0.6,"top_p":0.95},"schema":{"type":"object"}}'
    )
    older = hashlib.sha256(canonical.encode()).hexdigest()
    assert request().older_key(100) == older
    assert request().is_in({older})
    assert request().is_in({request().key})
    assert not request("other").is_in({older, request().key})


def of_an_earlier_version(cache: ResponseCache, one: RequestIdentity, text: str, max_tokens: int | None) -> None:
    """Store a reply as versions did that counted max_tokens as a part of the key."""
    parameters = json.dumps({**one.parameters.record, "max_tokens": max_tokens}, separators=(",", ":"))
    row = (one.older_key(max_tokens), one.prompt, one.model, parameters, one.origin.schema_hash, text, 1, 1)
    cache._db.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


@pytest.mark.parametrize("stored", [64, 2048, None])
def test_a_reply_of_an_earlier_version_is_found_whatever_max_tokens_is_now(
    cache: ResponseCache, stored: int | None
) -> None:
    of_an_earlier_version(cache, request("other"), "other", 512)
    of_an_earlier_version(cache, request(), "kept", stored)
    for now in (100, 4096, None):
        asked = request(parameters=replace(PARAMETERS, max_tokens=now))
        assert cache.get(asked) == CachedReply("kept", 1, 1)
    assert cache.get(request(parameters=replace(PARAMETERS, temperature=0.1))) is None
    assert cache.origins("questions") == [request().origin]


def test_a_reply_of_this_version_comes_before_an_earlier_one(cache: ResponseCache) -> None:
    of_an_earlier_version(cache, request(), "earlier", 100)
    cache.put(request(), CachedReply("now", 2, 2))
    assert cache.get(request()) == CachedReply("now", 2, 2)


def test_a_row_with_parameters_of_another_kind_finds_nothing(cache: ResponseCache, tmp_path: Path) -> None:
    odd = ['no JSON "max_tokens":', '["max_tokens"]', '{"max_tokens": [1]}', '{"extra": {"max_tokens": 3}}']
    rows = [row(key=f"{n:064x}", parameters=text) for n, text in enumerate(odd)]
    cache.import_recording(recording(tmp_path / "r.gz", HEADER, *rows), Header)
    assert cache.get(request()) is None
    assert len(cache.origins("p")) == 2  # {} and {"extra": …}


def test_a_reply_is_found_again_after_reopening(cache: ResponseCache) -> None:
    reply = CachedReply('{"a": "é"}', 10, 4)
    assert cache.get(request()) is None
    cache.put(request(), reply)
    cache.close()
    with ResponseCache(cache.path) as again:
        assert again.get(request()) == reply
        assert again.get(request("other")) is None
        assert len(again) == 1


def test_other_processes_see_a_reply_at_once(cache: ResponseCache) -> None:
    cache.put(request(), CachedReply("{}", 1, 1))
    with ResponseCache(cache.path) as other:
        assert len(other) == 1


def test_a_newer_reply_replaces_an_older_one(cache: ResponseCache) -> None:
    cache.put(request(), CachedReply("old", 1, 1))
    cache.put(request(), CachedReply("new", 2, 2))
    assert cache.get(request()) == CachedReply("new", 2, 2)
    assert len(cache) == 1


def test_the_origins_of_the_replies_to_a_prompt_are_known(cache: ResponseCache) -> None:
    cache.put(request("1"), CachedReply("{}", 1, 1))
    cache.put(request("2"), CachedReply("{}", 1, 1))
    cache.put(request("2", model="other"), CachedReply("{}", 1, 1))
    assert [origin.model for origin in cache.origins("questions")] == ["other", "qwen"]
    assert cache.origins("questions")[1] == request().origin
    assert cache.origins("judge") == []
    assert isinstance(request().origin, Origin)


def test_a_file_that_is_not_a_cache_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 20)
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match="damaged"):
        ResponseCache(path)
    assert path.read_bytes() == before


def test_a_cache_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ArtifactError, match="a different version"):
        ResponseCache(path)


# Recordings


def filled(path: Path, texts: list[str]) -> ResponseCache:
    cache = ResponseCache(path)
    for text in texts:
        cache.put(request(text), CachedReply(json.dumps({"reply": text}), len(text), 1))
    return cache


def test_a_recording_has_a_header_and_one_line_per_reply_sorted_by_key(tmp_path: Path) -> None:
    cache = filled(tmp_path / "a.sqlite", ["x", "y", "z"])
    cache.export(tmp_path / "r.jsonl.gz", Header(model="qwen", licence="CC0"))
    lines = [json.loads(line) for line in gzip.decompress((tmp_path / "r.jsonl.gz").read_bytes()).splitlines()]
    assert lines[0] == {
        "format": "embedtune-recording",
        "version": 1,
        "header": {"model": "qwen", "licence": "CC0"},
    }
    assert [line["key"] for line in lines[1:]] == sorted(request(text).key for text in "xyz")
    assert {line["prompt"] for line in lines[1:]} == {"questions"}


def test_equal_caches_give_equal_bytes_whatever_the_order_of_their_replies(tmp_path: Path) -> None:
    for name, texts in (("a", ["x", "y", "z"]), ("b", ["z", "x", "y"])):
        filled(tmp_path / f"{name}.sqlite", texts).export(tmp_path / f"{name}.gz", Header(b=1, a=2))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert (tmp_path / "a.gz").read_bytes()[4:8] == bytes(4)  # no time of writing (RFC 1952, MTIME)


@settings(max_examples=15, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True, max_size=8))
def test_a_recording_restores_every_reply(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("recording")
    source = filled(folder / "a.sqlite", texts)
    source.export(folder / "r.gz", Header(date="2026-01-01"))
    target = ResponseCache(folder / "b.sqlite")
    assert target.import_recording(folder / "r.gz", Header) == Header(date="2026-01-01")
    assert len(target) == len(texts)
    for text in texts:
        assert target.get(request(text)) == source.get(request(text))
    assert target.origins("questions") == source.origins("questions")


def test_an_import_keeps_the_replies_that_are_already_there(tmp_path: Path) -> None:
    filled(tmp_path / "a.sqlite", ["x"]).export(tmp_path / "r.gz", Header())
    target = ResponseCache(tmp_path / "b.sqlite")
    target.put(request("x"), CachedReply("own", 1, 1))
    target.import_recording(tmp_path / "r.gz", Header)
    target.import_recording(tmp_path / "r.gz", Header)
    assert target.get(request("x")) == CachedReply("own", 1, 1)


def test_a_recording_with_another_header_is_refused_and_nothing_is_loaded_from_it(tmp_path: Path) -> None:
    class Dated(BaseModel):
        date: str

    filled(tmp_path / "a.sqlite", ["x"]).export(tmp_path / "r.gz", Header(model="qwen"))
    target = ResponseCache(tmp_path / "b.sqlite")
    with pytest.raises(InputError, match=r"(?s)recording of a different kind.*date: Field required"):
        target.import_recording(tmp_path / "r.gz", Dated)
    assert len(target) == 0


def recording(path: Path, *lines: str) -> Path:
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


HEADER = '{"format": "embedtune-recording", "version": 1, "header": {}}'


def row(**changed: object) -> str:
    fields = {
        "key": "0" * 64,
        "prompt": "p",
        "model": "m",
        "parameters": "{}",
        "schema_hash": "s",
        "text": "{}",
        "prompt_tokens": 1,
        "completion_tokens": 1,
    }
    return json.dumps({**fields, **changed})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["hello"], "not a recording of this version"),
        (['{"format": "embedtune-recording", "version": 2, "header": {}}'], "not a recording of this version"),
        (['{"format": "embedtune-recording", "version": 1}'], "not a recording of this version"),
        ([HEADER, row(), "{"], "damaged at line 3"),
        ([HEADER, row(), row(key="../x")], "damaged at line 3"),
        ([HEADER, row(prompt_tokens=-1)], "damaged at line 2"),
        ([HEADER, row(surprise=1)], "damaged at line 2"),
    ],
)
def test_a_damaged_recording_is_named_and_nothing_is_loaded_from_it(
    cache: ResponseCache, tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        cache.import_recording(recording(tmp_path / "r.gz", *lines), Header)
    assert len(cache) == 0


def test_a_truncated_or_missing_or_uncompressed_file_is_refused(cache: ResponseCache, tmp_path: Path) -> None:
    whole = recording(tmp_path / "r.gz", HEADER, *(row(key=f"{n:064x}") for n in range(200))).read_bytes()
    for name, data in (
        ("truncated", whole[: len(whole) // 2]),
        ("flipped", whole[:40] + b"\xff\xfe" + whole[42:]),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError):
            cache.import_recording(tmp_path / name, Header)
    (tmp_path / "plain").write_text(HEADER)
    for name in ("plain", "missing"):
        with pytest.raises(InputError, match="cannot be read"):
            cache.import_recording(tmp_path / name, Header)
    assert len(cache) == 0
    cache.put(request(), CachedReply("{}", 1, 1))  # no failed transaction is left open
    assert len(cache) == 1
