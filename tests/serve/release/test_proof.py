"""The proof of a release detects a server that serves something else, whatever the difference."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedtune.core.errors import ArtifactError, GateError
from embedtune.core.records.deployment import DriftedText
from embedtune.serve.release.proof import (
    Embed,
    Reference,
    ask,
    read_proof,
    read_reference,
    require_close,
    write_proof,
)


def endpoint(queries: dict[str, list[float]], passages: dict[str, list[float]]) -> Embed:
    """Return a server that returns these vectors, by text."""
    vectors = {"query": queries, "passage": passages}
    return lambda texts, kind: np.asarray([vectors[kind][text] for text in texts], dtype=np.float32)


REFERENCE = Reference(
    ["a", "b", "c"], ["passage", "query", "passage"], np.asarray([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
)


def cosines(queries: dict[str, list[float]], passages: dict[str, list[float]]) -> list[float]:
    """Return the cosine of each text, in the order of the reference."""
    drift = ask(endpoint(queries, passages), REFERENCE, "here")
    found = {entry.text: round(entry.cosine, 4) for entry in drift.worst}
    return [found[text] for text in REFERENCE.texts]


def test_each_text_is_compared_with_its_own_vector() -> None:
    assert cosines({"b": [0, 1]}, {"a": [1, 0], "c": [0.6, 0.8]}) == [1, 1, 1]
    assert cosines({"b": [0.6, 0.8]}, {"a": [1, 0], "c": [1, 0]}) == [1, 0.8, 0.6]


@pytest.mark.parametrize("broken", [[float("nan"), 0], [0, 0], [0, 3]])
def test_a_vector_that_is_not_of_unit_length_counts_as_wrong(broken: list[float]) -> None:
    assert cosines({"b": broken}, {"a": [1, 0], "c": [0.6, 0.8]}) == [1, -1, 1]


def test_vectors_of_another_size_are_refused() -> None:
    with pytest.raises(GateError, match="vectors of the wrong size"):
        ask(endpoint({"b": [0, 1, 0]}, {"a": [1, 0, 0], "c": [0, 0, 1]}), REFERENCE, "here")


def test_the_worst_text_is_named_and_one_is_enough() -> None:
    drift = ask(endpoint({"b": [0, 1]}, {"a": [1, 0], "c": [1, 0]}), REFERENCE, "grpc://here:1")
    require_close(drift, 0.6)
    with pytest.raises(GateError, match=r"1 of 3 texts(.|\n)*0\.60000 passage 'c'"):
        require_close(drift, 0.61)
    assert (drift.cosine.min, drift.cosine.mean) == (0.6, pytest.approx(2.6 / 3))
    assert drift.worst[0] == DriftedText(cosine=0.6, kind="passage", text="c")
    assert (drift.endpoint, drift.texts, drift.queries) == ("grpc://here:1", 3, 1)


def test_a_proof_comes_back_as_it_was_written_and_equal_ones_are_equal_files(tmp_path: Path) -> None:
    reference = Reference(["ä b", "\n"], ["query", "passage"], np.asarray([[1, 0], [0.6, 0.8]], dtype=np.float32))
    files = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for file in files:
        write_proof(file, reference)
    found = read_proof(files[0])
    assert (found.texts, found.kinds) == (reference.texts, reference.kinds)
    np.testing.assert_array_equal(found.vectors, reference.vectors)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_a_file_that_is_no_proof_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "proof.npz").write_bytes(content)
    with pytest.raises(ArtifactError, match="is not the proof of a release"):
        read_proof(tmp_path / "proof.npz")


def test_a_proof_with_a_pickle_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "proof.npz", texts=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match=r"is not the proof of a release(.|\n)*pickle"):
        read_proof(tmp_path / "proof.npz")


def reference_file(path: Path, queries: int, passages: int) -> Path:
    rows = [
        {"text": kind[0] * length, "kind": kind, "vector": [1.0, 0.0]}
        for kind, count in (("query", queries), ("passage", passages))
        for length in range(1, count + 1)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path / "reference.parquet")
    return path / "reference.parquet"


def test_texts_are_chosen_evenly_over_lengths_and_kinds(tmp_path: Path) -> None:
    chosen = read_reference(reference_file(tmp_path, 9, 101), 8)
    lengths = [(kind, len(text)) for kind, text in zip(chosen.kinds, chosen.texts, strict=True)]
    assert lengths[:4] == [("query", 1), ("query", 4), ("query", 6), ("query", 9)]
    assert [length for kind, length in lengths if kind == "passage"] == [1, 34, 68, 101]


@pytest.mark.parametrize(("queries", "passages", "count", "chosen"), [(0, 5, 32, 5), (3, 50, 7, 6), (3, 2, 32, 5)])
def test_if_there_are_fewer_texts_than_wanted_all_are_taken(
    tmp_path: Path, queries: int, passages: int, count: int, chosen: int
) -> None:
    assert len(read_reference(reference_file(tmp_path, queries, passages), count).texts) == chosen


def test_texts_that_the_endpoint_refuses_are_left_out(tmp_path: Path) -> None:
    chosen = read_reference(reference_file(tmp_path, 9, 9), 4, lambda text, kind: len(text) <= 5)
    assert [(kind, len(text)) for kind, text in zip(chosen.kinds, chosen.texts, strict=True)] == [
        ("query", 1),
        ("query", 5),
        ("passage", 1),
        ("passage", 5),
    ]
