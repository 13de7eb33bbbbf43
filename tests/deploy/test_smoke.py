"""The smoke test detects an endpoint that serves something else, whatever the difference."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.errors import GateError
from embedtune.core.progress import SilentProgress
from embedtune.core.records.deployment import DriftedText
from embedtune.deploy.smoke import Reference, ask, read_reference, require


class Endpoint:
    """Returns these vectors, by text."""

    fingerprint = "test"

    def __init__(self, queries: dict[str, list[float]], passages: dict[str, list[float]]) -> None:
        self.queries, self.passages = queries, passages

    def encode_queries(self, texts: list[str], progress: object) -> Vectors:
        return np.asarray([self.queries[text] for text in texts], dtype=np.float32)

    def encode_passages(self, texts: list[str], progress: object) -> Vectors:
        return np.asarray([self.passages[text] for text in texts], dtype=np.float32)


REFERENCE = Reference(
    ["a", "b", "c"], ["passage", "query", "passage"], np.asarray([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
)


def cosines(queries: dict[str, list[float]], passages: dict[str, list[float]]) -> list[float]:
    smoke = ask(Endpoint(queries, passages), REFERENCE, SilentProgress())
    return [round(float(value), 4) for value in smoke.cosines]


def test_each_text_is_compared_with_its_own_vector() -> None:
    assert cosines({"b": [0, 1]}, {"a": [1, 0], "c": [0.6, 0.8]}) == [1, 1, 1]
    assert cosines({"b": [0.6, 0.8]}, {"a": [1, 0], "c": [1, 0]}) == [1, 0.8, 0.6]


@pytest.mark.parametrize("broken", [[float("nan"), 0], [0, 0], [0, 3]])
def test_a_vector_that_is_not_of_unit_length_counts_as_wrong(broken: list[float]) -> None:
    assert cosines({"b": broken}, {"a": [1, 0], "c": [0.6, 0.8]}) == [1, -1, 1]


def test_vectors_of_another_size_are_refused() -> None:
    with pytest.raises(GateError, match="vectors of the wrong size"):
        ask(Endpoint({"b": [0, 1, 0]}, {"a": [1, 0, 0], "c": [0, 0, 1]}), REFERENCE, SilentProgress())


def test_the_worst_text_is_named_and_one_is_enough() -> None:
    smoke = ask(Endpoint({"b": [0, 1]}, {"a": [1, 0], "c": [1, 0]}), REFERENCE, SilentProgress())
    require(smoke, 0.6)
    with pytest.raises(GateError, match=r"1 of 3 texts(.|\n)*0\.60000 passage 'c'"):
        require(smoke, 0.61)
    drift = smoke.drift("grpc://here:1")
    assert (drift.cosine.min, drift.cosine.mean) == (0.6, pytest.approx(2.6 / 3))
    assert drift.worst[0] == DriftedText(cosine=0.6, kind="passage", text="c")
    assert (drift.endpoint, drift.texts, drift.queries) == ("grpc://here:1", 3, 1)


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
