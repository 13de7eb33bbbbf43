"""Caches as embedtune wrote them at commit 82f0d65: what is in them was paid for and must be found again.

The tables, the keys and the fingerprint below were written by that version.
"""

import sqlite3
from pathlib import Path

import numpy as np

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.vector_cache import VectorCache, vector_key
from embedtune.core.progress import SilentProgress
from embedtune.llm.cache import CachedReply, ResponseCache
from embedtune.llm.cache_key import RequestIdentity, SamplingParameters

REPLIES = """
CREATE TABLE replies (
    key TEXT PRIMARY KEY, prompt TEXT NOT NULL, model TEXT NOT NULL, parameters TEXT NOT NULL,
    schema_hash TEXT NOT NULL, text TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "replies" VALUES(
    '541e5fafb00488005794b71fbbefb7ac36a6c1aafef822e6d067ab038407584e','questions','qwen',
    '{"max_tokens":100,"seed":null,"temperature":0.6,"top_p":0.95}','a2c799262a3ce3c1','{"a": "é"}',10,4);
PRAGMA user_version = 1;
"""
VECTORS = """
CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID;
INSERT INTO "vectors" VALUES(X'A05609BF05E414EA4F3596C33A7902D5',X'9A99193FCDCC4C3F');
"""
FLOAT32_WEIGHTS = (
    b'6\x00\x00\x00\x00\x00\x00\x00{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}\x00\x00\x00?'
)
CONTRACT = EncoderContract(
    base_model="tiny", query_prefix="query: ", passage_prefix="passage: ", max_length=64, dimensions=(2,)
)


def write_database(file: Path, script: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(file)
    database.executescript(script)
    database.close()


def test_replies_of_an_older_cache_are_found(tmp_path: Path) -> None:
    write_database(tmp_path / "llm.sqlite", REPLIES)
    request = RequestIdentity(
        prompt="questions",
        model="qwen",
        parameters=SamplingParameters(temperature=0.6, top_p=0.95, max_tokens=100, seed=None),
        schema={"type": "object"},
        messages=[{"role": "user", "content": "hello"}],
    )
    with ResponseCache(tmp_path / "llm.sqlite") as cache:
        assert cache.get(request) == CachedReply('{"a": "é"}', 10, 4)
        assert cache.origins("questions") == [request.origin]


def test_vectors_of_an_older_cache_are_found(tmp_path: Path) -> None:
    write_database(tmp_path / "embeddings" / "vectors.sqlite", VECTORS)
    (tmp_path / "model.safetensors").write_bytes(FLOAT32_WEIGHTS)
    encoder = TorchEncoder(tmp_path, CONTRACT, RuntimeSettings(), tmp_path / "embeddings")
    assert CONTRACT.hash == "ad63143066add5b0"
    assert encoder.fingerprint == "f1010bf5cdd7a98c"
    key = vector_key(encoder.fingerprint, "passage: the pump leaks")
    (vector,) = VectorCache(tmp_path / "embeddings").get([key]).values()
    assert np.array_equal(vector, np.array([0.6, 0.8], dtype=np.float32))
    # There is no model here to compute it with.
    assert np.array_equal(encoder.encode_passages(["the pump leaks"], SilentProgress()), [vector])
