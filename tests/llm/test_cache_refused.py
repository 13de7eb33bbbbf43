"""A cache of LLM replies that the machine refuses is not called damaged: it holds what was paid for."""

import sqlite3
from contextlib import closing

import pytest

from embedtune.core.errors import ArtifactError, EmbedtuneError
from embedtune.llm.cache import ResponseCache
from tests.support.other_user import as_nobody, close


def test_a_cache_of_another_user_is_not_called_damaged(open_folder):
    path = open_folder / "llm.sqlite"
    ResponseCache(path).close()
    close(path, 0o444)
    with as_nobody(), pytest.raises(EmbedtuneError, match="readonly database") as caught:
        ResponseCache(path)
    assert not isinstance(caught.value, ArtifactError) and str(path) in caught.value.what
    assert "give this user the right" in str(caught.value.fix)


def test_a_cache_that_another_program_has_locked_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "llm.sqlite"
    ResponseCache(path).close()
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda file, **kwargs: connect(file, **kwargs | {"timeout": 0.0}))
    with closing(connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(EmbedtuneError, match="database is locked") as caught:
            ResponseCache(path)
    assert not isinstance(caught.value, ArtifactError) and "another program" in str(caught.value.fix)
