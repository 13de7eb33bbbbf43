"""The JSON files that deploy writes: the decision, the drift of the live endpoint, and the re-index plan."""

from typing import ClassVar, Literal

from embedtune.core.records.base import JsonRecord, Part

DEPLOYMENT_FILE = "deployment.json"
DRIFT_FILE = "endpoint.json"
REINDEX_FILE = "reindex.json"


class Deployment(JsonRecord):
    """The decision about an engine, and the reason for it.

    Attributes:
        deployed: Whether it went live.
        reason: One sentence for the report.
        target: Where Triton runs.
        endpoint: Address of the live service.
        releases: The release store; None: releases are kept on one machine only.
        release: Id of the release that went live; None if none did.
        before: Id of the release that was live before it; None if there was none.
    """

    NAME: ClassVar[str] = "deployment"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune deploy"

    deployed: bool
    reason: str
    target: Literal["local", "kubernetes"]
    endpoint: str
    releases: str | None
    release: str | None = None
    before: str | None = None


class CosineRange(Part):
    """Cosine similarities of the texts of a proof."""

    min: float
    mean: float


class DriftedText(Part):
    """One text of a proof, with the cosine similarity of its two vectors."""

    cosine: float
    kind: Literal["query", "passage"]
    text: str


class EndpointDrift(JsonRecord):
    """The difference between the live service's vectors and the checkpoint's.

    Attributes:
        endpoint: Address of the service.
        texts: Number of texts that were sent.
        queries: How many of them are queries.
        cosine: Over all texts.
        worst: The texts that drifted most, the worst first.
        passages_per_second: Measured over the passages.
    """

    NAME: ClassVar[str] = "endpoint_drift"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune deploy"

    endpoint: str
    texts: int
    queries: int
    cosine: CosineRange
    worst: tuple[DriftedText, ...]
    passages_per_second: float


class ReindexPlan(JsonRecord):
    """The work that a vector store needs before it may answer queries for a new release.

    Attributes:
        release: Id of the new release.
        replaces: Id of the release whose vectors the store holds now; None if there is none.
        why: One sentence.
        model_name: Name of the model on the endpoint.
        base_model: The base model it was tuned from.
        contract_hash: Hash of its encoder contract.
        dimensions: Vector sizes that it offers, the full one first.
        similarity: How vectors are compared.
        normalized: Whether they have unit length.
        input_type: Input type to embed the corpus with.
        chunks: Number of passages in the corpus.
        passages_per_second: Measured through the endpoint.
        estimated_seconds: For the whole corpus.
        bytes_float32: Size of all vectors, by dimension.
        command: The command that embeds the corpus.
        steps: What to do, in order.
    """

    NAME: ClassVar[str] = "reindex_plan"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune deploy"

    release: str
    replaces: str | None
    why: str
    model_name: str
    base_model: str
    contract_hash: str
    dimensions: tuple[int, ...]
    similarity: str
    normalized: bool
    input_type: Literal["passage"]
    chunks: int
    passages_per_second: float
    estimated_seconds: float
    bytes_float32: dict[int, int]
    command: str
    steps: tuple[str, ...]
