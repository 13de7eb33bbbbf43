"""The JSON files that export writes: `engine.json` describes the engine, `parity.json` its parity with PyTorch."""

from typing import ClassVar, Literal

from embedtune.core.config.export import Precision, Target
from embedtune.core.records.base import JsonRecord, Part

ENGINE_FILE = "engine.json"
PARITY_FILE = "parity.json"


class Engine(JsonRecord):
    """The platform an engine was built for.

    Attributes:
        target: What runs it.
        precision: Of its weights and matrix products.
        opset: ONNX operator set of its graph.
        file: The graph or the TensorRT plan, relative to the engine directory.
        hidden: The full dimension of its vectors.
        tensorrt_version: Version of the TensorRT that built it; None for ONNX.
        compute_capability: Compute capability of the GPU that built it; None for ONNX.
        max_batch_size: Largest batch that it accepts; None: any.
    """

    NAME: ClassVar[str] = "engine"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune export"

    target: Target
    precision: Precision
    opset: int
    file: str
    hidden: int
    tensorrt_version: str | None = None
    compute_capability: str | None = None
    max_batch_size: int | None = None


class ComparedText(Part):
    """One text of the comparison, with the cosine similarity of its two vectors."""

    cosine: float
    kind: Literal["query", "passage"]
    tokens: int
    dimension: int
    text: str


class TokenRange(Part):
    """The shortest and the longest text of the comparison, in tokens."""

    least: int
    most: int


class VariantParity(Part):
    """The parity of one precision with PyTorch.

    Attributes:
        megabytes: Size of the graph with its weights.
        required_cosine: Lowest cosine allowed for a text.
        min_cosine: Of the worst text.
        mean_cosine: Over all texts.
        ndcg: nDCG@10 on the dev questions; None if there are none.
        ndcg_cost: Loss of nDCG@10 compared with PyTorch.
        passed: Whether it may be shipped.
        worst: The texts with the lowest cosine, the worst first.
    """

    megabytes: float
    required_cosine: float
    min_cosine: float
    mean_cosine: float
    ndcg: float | None
    ndcg_cost: float | None
    passed: bool
    worst: tuple[ComparedText, ...]


class Parity(JsonRecord):
    """The comparison of an engine and its variants with PyTorch.

    Attributes:
        target: Runtime of the engine.
        precision: The variant that is shipped.
        texts: Number of compared texts.
        tokens: How long they are.
        dimensions: Vector sizes that were compared, the full one first.
        dev_queries: Number of dev questions behind the nDCG.
        max_ndcg_drift: Largest change of nDCG@10 that is allowed, in either direction.
        pytorch_ndcg: PyTorch's nDCG@10 on the dev questions; None if there are none.
        variants: By precision.
    """

    NAME: ClassVar[str] = "parity"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune export"

    target: Target
    precision: Precision
    texts: int
    tokens: TokenRange
    dimensions: tuple[int, ...]
    dev_queries: int
    max_ndcg_drift: float
    pytorch_ndcg: float | None
    variants: dict[Precision, VariantParity]
