"""Which queries are far from a corpus, by a sample of its passages; values worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from embedtune.core.errors import ArtifactError
from embedtune.core.npz import write_arrays
from embedtune.core.retrieval.corpus_sample import (
    CorpusSample,
    cut,
    nearest,
    read_corpus_sample,
    sample_of,
    write_corpus_sample,
)


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, dtype=np.float32)


PASSAGES = rows((1, 0, 0), (0, 1, 0))


def test_the_nearest_passage_counts() -> None:
    queries = rows((0.6, 0.8, 0), (0, 0, 1))
    assert nearest(queries, PASSAGES) == pytest.approx([0.8, 0.0])


def test_shorter_vectors_are_compared_with_passages_cut_to_their_size() -> None:
    passages = rows((0.6, 0, 0.8))  # (1, 0) when cut to two dimensions
    assert nearest(rows((1, 0)), passages) == pytest.approx([1.0])
    assert cut(rows((0, 0, 1)), 2).tolist() == [[0, 0]]


def test_one_question_in_twenty_is_far_from_its_own_corpus() -> None:
    # Cosines 0.00, 0.05, … 1.00 with the first passage: 5% of them are below 0.05.
    cosines = np.linspace(0, 1, 21, dtype=np.float32)
    questions = np.stack([cosines, np.zeros(21, np.float32), np.sqrt(1 - cosines**2)], axis=1)
    sample = sample_of(rows((1, 0, 0)), questions, [3])
    assert sample.far_below == pytest.approx([0.05])
    assert sample.far(rows((0.049, 0, 0.9988), (0.051, 0, 0.9987))).tolist() == [True, False]


def test_each_size_has_its_own_limit() -> None:
    sample = sample_of(rows((1, 0, 0)), rows((0.6, 0, 0.8)), [3, 2])
    assert sample.far_below == pytest.approx([0.6, 1.0])
    assert sample.far(rows((0.8, 0.6))).tolist() == [True]  # 0.8 of 1 that questions have at this size
    assert sample.far(rows((1.0,))) is None


def test_a_sample_is_read_as_it_was_written_twice_the_same(tmp_path: Path) -> None:
    sample = CorpusSample(PASSAGES, (3, 2), (0.25, 0.5))
    for name in ("a.npz", "b.npz"):
        write_corpus_sample(tmp_path / name, sample)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    found = read_corpus_sample(tmp_path / "a.npz")
    assert found.passages.tolist() == PASSAGES.tolist()
    assert (found.sizes, found.far_below) == ((3, 2), (0.25, 0.5))


@pytest.mark.parametrize(
    "arrays",
    [
        {"passages": PASSAGES, "sizes": np.array([3])},
        {"passages": PASSAGES[0], "sizes": np.array([3]), "far_below": np.array([0.5])},
        {"passages": PASSAGES[:0], "sizes": np.array([3]), "far_below": np.array([0.5])},
        {"passages": PASSAGES, "sizes": np.array([3]), "far_below": np.array([0.5, 0.5])},
        {"passages": PASSAGES, "sizes": np.array([4]), "far_below": np.array([0.5])},
        {"passages": PASSAGES, "sizes": np.array([0]), "far_below": np.array([0.5])},
    ],
)
def test_anything_else_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    write_arrays(tmp_path / "a.npz", arrays)
    with pytest.raises(ArtifactError, match="is not a sample of a corpus"):
        read_corpus_sample(tmp_path / "a.npz")
