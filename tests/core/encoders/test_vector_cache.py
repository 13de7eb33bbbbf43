"""The cache is pruned by last use, but never while another process has it open."""

import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from embedtune.core.encoders import vector_cache
from embedtune.core.encoders.vector_cache import VectorCache, vector_key
from embedtune.core.errors import EmbedtuneError
from tests.support.other_user import as_nobody, close

COUNT = 2000
KEYS = [vector_key("model", str(number)) for number in range(COUNT)]
VECTORS = np.arange(COUNT * 64, dtype=np.float32).reshape(COUNT, 64)
LIMIT = 400_000  # bytes; the vectors alone have 512,000
IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from embedtune.core.encoders.vector_cache import VectorCache
cache = VectorCache(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _no_locks_of_other_tests(monkeypatch):
    monkeypatch.setattr(vector_cache, "_locks", [])


def end_of_process():
    """Release the locks of this process, as its end does."""
    for lock in vector_cache._locks:
        lock.close()
    vector_cache._locks.clear()


def fill(folder):
    """Fill a cache, then use its first quarter two hours later."""
    VectorCache(folder).put(KEYS, VECTORS)
    with sqlite3.connect(folder / "vectors.sqlite") as database:
        database.execute("UPDATE uses SET at = at - 7200")
    VectorCache(folder).get(KEYS[: COUNT // 4])
    end_of_process()


def test_what_was_not_used_for_longest_is_removed(tmp_path):
    fill(tmp_path)
    found = VectorCache(tmp_path, LIMIT).get(KEYS)
    assert COUNT // 4 < len(found) < COUNT
    assert all(key in found for key in KEYS[: COUNT // 4])
    np.testing.assert_array_equal(found[KEYS[3]], VECTORS[3])
    assert (tmp_path / "vectors.sqlite").stat().st_size <= LIMIT  # the file shrinks too


def test_a_cache_within_its_limit_is_left_alone(tmp_path):
    fill(tmp_path)
    assert len(VectorCache(tmp_path, 10 * LIMIT).get(KEYS)) == COUNT
    assert len(VectorCache(tmp_path).get(KEYS)) == COUNT


def test_vectors_of_earlier_versions_have_no_time_of_use_and_go_first(tmp_path):
    with sqlite3.connect(tmp_path / "vectors.sqlite") as database:
        database.execute("CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
        database.executemany(
            "INSERT INTO vectors VALUES (?, ?)", [(k, v.tobytes()) for k, v in zip(KEYS, VECTORS, strict=True)]
        )
    VectorCache(tmp_path).get(KEYS[:100])
    end_of_process()
    found = VectorCache(tmp_path, LIMIT).get(KEYS)
    assert len(found) < COUNT
    assert all(key in found for key in KEYS[:100])


def test_nothing_is_removed_while_another_process_has_it_open(tmp_path):
    fill(tmp_path)
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        assert len(VectorCache(tmp_path, LIMIT).get(KEYS)) == COUNT
        other.communicate("")
    end_of_process()
    assert len(VectorCache(tmp_path, LIMIT).get(KEYS)) < COUNT


def test_nothing_is_removed_that_this_process_has_used(tmp_path):
    fill(tmp_path)
    VectorCache(tmp_path).get(KEYS)
    assert len(VectorCache(tmp_path, LIMIT).get(KEYS)) == COUNT


def test_a_cache_of_another_user_is_named(open_folder):
    VectorCache(open_folder)
    close(open_folder / "vectors.sqlite", 0o444)
    with as_nobody(), pytest.raises(EmbedtuneError, match=r"vectors\.sqlite") as caught:
        VectorCache(open_folder)
    assert "give this user the right" in str(caught.value.fix)
