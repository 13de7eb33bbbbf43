import numpy as np

from embedtune.ingest.families import Occurrences, connections, families

NOTHING = np.array([], dtype=np.int64)


def occurrences(*pairs: tuple[int, int]) -> Occurrences:
    """Return chunks from (document, group)."""
    documents, groups = zip(*pairs, strict=True)
    return Occurrences(np.array(documents), np.array(groups))


def test_boilerplate_is_in_more_documents_than_allowed() -> None:
    chunks = occurrences((0, 7), (1, 7), (2, 7), (0, 8), (0, 8), (0, 8))
    assert chunks.boilerplate(2).tolist() == [7]
    assert chunks.boilerplate(3).tolist() == []


def test_documents_that_share_a_group_are_a_family_in_chains() -> None:
    chunks = occurrences((0, 1), (1, 1), (1, 2), (3, 2), (2, 9))
    assert families(chunks, NOTHING, 4).tolist() == [0, 0, 2, 0]


def test_boilerplate_connects_nothing() -> None:
    chunks = occurrences((0, 1), (1, 1), (2, 1))
    assert families(chunks, np.array([1]), 3).tolist() == [0, 1, 2]


def test_connections_name_the_documents_that_share_the_most_with_an_excerpt() -> None:
    chunks = occurrences((0, 1), (0, 2), (1, 1), (1, 2), (2, 2), (3, 9))
    texts = [f"text {n}\nof chunk" for n in range(6)]
    paths = ["a.md", "b.md", "c.md", "d.md"]
    assert connections(chunks, NOTHING, np.array([0, 1, 2]), paths, texts.__getitem__) == [
        "a.md and b.md share 2 passages, such as: text 2 of chunk …",
        "a.md and c.md share 1 passages, such as: text 4 of chunk …",
    ]
    assert connections(chunks, np.array([1, 2]), np.array([0, 1, 2]), paths, texts.__getitem__) == []
