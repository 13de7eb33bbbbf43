"""split.json of the dataset artifact: the proofs about the dataset, made before it was written."""

from typing import ClassVar

from embedtune.core.records.base import JsonRecord, Part

SPLIT_FILE = "split.json"


class ProofResult(Part):
    """One proof: the statement that holds if there are no violations, and the number of things checked."""

    name: str
    checked: int
    violations: int


class SplitProofs(JsonRecord):
    """The proofs of a dataset and its sizes.

    Attributes:
        proofs: Every proof; a dataset with a violation is never written.
        counts: Passages, queries and judgements by split, as in the manifest.
        mining_corpus: Which passages may be mined as negatives, in words.
    """

    NAME: ClassVar[str] = "split"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune split"

    proofs: tuple[ProofResult, ...]
    counts: dict[str, int]
    mining_corpus: str
