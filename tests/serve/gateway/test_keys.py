"""API keys: which are accepted, how they are rotated, and their quotas."""

import hashlib
import os
from pathlib import Path

import pytest

from embedtune.core.errors import InputError
from embedtune.serve.gateway.http_errors import RefusedError
from embedtune.serve.gateway.keys import Key, Keys, key_hash, read_key, read_keys


def line(name: str, key: str, more: str = "") -> str:
    return f"{name} sha256:{hashlib.sha256(key.encode()).hexdigest()}{more}\n"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def accepted(keys: Keys, key: str, scheme: str = "Bearer") -> str | None:
    """Return the name of a key; None: it is refused."""
    try:
        found = keys.find(f"{scheme} {key}".encode())
    except RefusedError as error:
        assert error.status == 401
        return None
    assert found is not None
    return found.name


@pytest.mark.parametrize("given", ["", " ", "\n", "\t \r\n"])
def test_an_empty_key_is_refused_instead_of_letting_everybody_in(given: str) -> None:
    with pytest.raises(InputError, match="the API key is empty"):
        read_key(given)


def test_a_trailing_newline_is_not_part_of_the_key() -> None:
    keys = Keys(read_key("s3cret\n"))
    assert accepted(keys, "s3cret") == "default"
    assert accepted(keys, "s3cret\r\n") == "default"
    assert accepted(keys, "s3cre") is None
    assert accepted(keys, "") is None


def test_without_keys_anybody_is_let_in() -> None:
    assert Keys().find(b"") is None
    assert Keys().find(b"Bearer whatever") is None


def test_a_file_names_its_keys_by_their_hash(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# who may\n\n" + line("search", "one") + line("index", "two", " tokens_per_minute=600"))
    assert read_keys(file) == [Key("search", key_hash("one")), Key("index", key_hash("two"), 600)]
    keys = Keys(read_key("three"), file)
    assert [accepted(keys, key) for key in ("one", "two", "three", "four")] == ["search", "index", "default", None]
    assert accepted(keys, hashlib.sha256(b"one").hexdigest()) is None  # whoever reads the file has no key
    assert accepted(keys, "one", "Basic") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no API key"),
        ("# only a remark\n", "has no API key"),
        ("search secret\n", "line 1 of .* is not an API key"),
        (line("one", "a") + "two sha256:12\n", "line 2 of .* is not an API key"),
        (line("two words", "a"), "line 1 of .* is not an API key"),
        (line("one", "a", " tokens_per_minute=0"), "line 1 of .* is not an API key"),
        (line("one", ""), "line 1 of .* has the hash of an empty key"),
        (line("one", "a") + line("one", "b"), "a name or a key twice"),
        (line("one", "a") + line("two", "a"), "a name or a key twice"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(InputError, match=message):
        Keys(file=tmp_path / "keys")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Keys(file=tmp_path / "keys")


def test_keys_are_rotated_without_a_restart(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "keys"
    file.write_text(line("old", "one"))
    keys = Keys(file=file, clock=clock)
    new = tmp_path / "new"
    new.write_text(line("new", "two"))
    new.replace(file)  # as Kubernetes does with a mounted Secret: another file under the same name
    assert [accepted(keys, key) for key in ("one", "two")] == ["old", None]  # at most once a second
    clock.now += 1
    assert [accepted(keys, key) for key in ("one", "two")] == [None, "new"]


def test_a_file_that_becomes_invalid_keeps_its_keys_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, file = Clock(), tmp_path / "keys"
    file.write_text(line("old", "one"))
    keys = Keys(file=file, clock=clock)
    file.write_text("half a li")
    for _ in range(3):
        clock.now += 2
        assert accepted(keys, "one") == "old"
    file.unlink()
    clock.now += 2
    assert accepted(keys, "one") == "old"
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "line 1 of" in caplog.messages[0]
    file.write_text(line("new", "two"))
    clock.now += 2
    assert [accepted(keys, key) for key in ("one", "two")] == [None, "new"]


def test_a_quota_is_refilled_evenly_and_the_refusal_says_when() -> None:
    clock = Clock()
    key = Key("index", key_hash("two"), quota=600)  # 10 tokens per second
    keys = Keys(key, clock=clock)
    keys.require_quota(key)
    keys.spend(key, 650)  # 50 more than there were
    with pytest.raises(RefusedError) as refused:
        keys.require_quota(key)
    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (429, "quota_exceeded", 5.0)
    clock.now += 4.9
    with pytest.raises(RefusedError):
        keys.require_quota(key)
    clock.now += 0.2
    keys.require_quota(key)
    clock.now += 3600  # never more than one minute's
    keys.spend(key, 600)
    with pytest.raises(RefusedError):
        keys.require_quota(key)


def test_a_key_without_a_quota_is_never_refused() -> None:
    key = Key("search", key_hash("one"))
    keys = Keys(key)
    keys.spend(key, 10**12)
    keys.require_quota(key)


def test_the_hash_is_that_of_sha256sum() -> None:
    assert os.popen("printf %s alpha | sha256sum").read().split()[0] == key_hash("alpha").hex()
