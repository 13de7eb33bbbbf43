"""Vectors that one task computes for others: written once, then read in addition to the cache."""

import logging
from pathlib import Path

import numpy as np
import pytest

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.vector_cache import VECTORS_FILE, VectorCache, vector_key
from embedtune.core.encoders.vector_file import VectorFile, require_vectors
from embedtune.core.errors import ArtifactError
from embedtune.core.progress import Progress, Task
from embedtune.core.records.base_vectors import BASE_VECTORS_FILE
from tests.support.base_vectors import write_base_vectors

CONTRACT = EncoderContract(base_model="none", dimensions=(4,), passage_prefix="passage: ")
PASSAGES = [f"pump {number}" for number in range(6)]


class CountingEncoder(TorchEncoder):
    """An encoder whose model numbers the texts that it computes; it needs no weights."""

    fingerprint = "the base model"  # type: ignore[assignment]

    def __init__(self, cache: Path, ready: Path | None = None) -> None:
        super().__init__(cache, CONTRACT, RuntimeSettings(device="cpu"), cache, ready)
        self.computed: list[str] = []

    def _encode_block(self, texts: list[str], task: Task) -> np.ndarray:
        self.computed += texts
        return np.full((len(texts), 4), 0.5, dtype=np.float32)


def write(folder: Path, texts: list[str], fingerprint: str = "the base model") -> np.ndarray:
    """Write the vectors of some passages and return them: row n has the numbers 4n to 4n + 3."""
    vectors = np.arange(len(texts) * 4, dtype=np.float32).reshape(-1, 4)
    keys = [vector_key(fingerprint, f"passage: {text}") for text in texts]
    write_base_vectors(folder, keys, vectors, fingerprint)
    return vectors


def test_what_was_written_is_found_and_nothing_else_is_written(tmp_path: Path) -> None:
    vectors = write(tmp_path / "made", PASSAGES)
    keys = [vector_key("the base model", f"passage: {text}") for text in PASSAGES]
    found = VectorFile(tmp_path / "made").get([*keys, b"another key 0123"])
    assert found.keys() == set(keys)
    np.testing.assert_array_equal(np.stack([found[key] for key in keys]), vectors)
    assert {file.name for file in (tmp_path / "made").iterdir()} == {VECTORS_FILE, BASE_VECTORS_FILE}


def test_the_same_vectors_make_the_same_file(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / name, PASSAGES)
    assert require_vectors(tmp_path / "a") == require_vectors(tmp_path / "b")


def test_vectors_that_are_ready_are_not_computed_and_missing_ones_are(tmp_path: Path, progress: Progress) -> None:
    vectors = write(tmp_path / "made", PASSAGES[:4])
    encoder = CountingEncoder(tmp_path / "cache", tmp_path / "made")
    got = encoder.encode_passages(PASSAGES[::-1], progress)
    assert encoder.computed == ["passage: pump 5", "passage: pump 4"]
    np.testing.assert_array_equal(got[2:], vectors[::-1])
    np.testing.assert_array_equal(got[:2], np.full((2, 4), 0.5))
    # Only what was computed goes into the cache.
    keys = encoder.passage_keys(PASSAGES)
    assert VectorCache(tmp_path / "cache").get(keys).keys() == set(keys[4:])
    again = CountingEncoder(tmp_path / "cache", tmp_path / "made")
    again.encode_passages(PASSAGES, progress)
    assert again.computed == []


def test_a_query_does_not_get_the_vector_of_a_passage(tmp_path: Path, progress: Progress) -> None:
    write(tmp_path / "made", PASSAGES)
    encoder = CountingEncoder(tmp_path / "cache", tmp_path / "made")
    encoder.encode_queries(PASSAGES[:1], progress)
    assert encoder.computed == ["pump 0"]


def test_vectors_of_another_model_are_not_used_and_that_is_said(
    tmp_path: Path, progress: Progress, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "made", PASSAGES, "another model")
    encoder = CountingEncoder(tmp_path / "cache", tmp_path / "made")
    with caplog.at_level(logging.WARNING):
        encoder.encode_passages(PASSAGES, progress)
    assert len(encoder.computed) == len(PASSAGES)
    assert "has those of another model, this encoder is the base model" in caplog.text


def test_changed_or_missing_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "made", PASSAGES)
    require_vectors(tmp_path / "made")
    file, record = tmp_path / "made" / VECTORS_FILE, tmp_path / "made" / BASE_VECTORS_FILE
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArtifactError, match="was changed after it was written"):
        require_vectors(tmp_path / "made")
    file.unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        require_vectors(tmp_path / "made")
    record.write_text("{")
    with pytest.raises(ArtifactError, match="it is not JSON"):
        require_vectors(tmp_path / "made")
