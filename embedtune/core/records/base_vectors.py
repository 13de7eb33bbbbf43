"""`base_vectors.json`: what is in a file of base vectors."""

from typing import ClassVar

from pydantic import Field

from embedtune.core.records.base import JsonRecord

BASE_VECTORS_FILE = "base_vectors.json"


class BaseVectors(JsonRecord):
    """The base model's vectors of a run's passages, which one task has computed for all others.

    Attributes:
        passages: Number of distinct passages.
        dimension: Numbers per vector, each a float32.
        fingerprints: The encoders, one per precision that the run computes in; each has a vector of every passage.
        bytes: Size of the file of vectors.
        sha256: Hash of the file of vectors.
    """

    NAME: ClassVar[str] = "base_vectors"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "the task encode"

    passages: int = Field(ge=0)
    dimension: int = Field(gt=0)
    fingerprints: tuple[str, ...]
    bytes: int = Field(ge=0)
    sha256: str
