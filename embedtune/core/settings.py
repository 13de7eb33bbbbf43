"""Every setting, documented at its field. Defaults are the reference recipe's unless the field says why not."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from embedtune.core.contract import EncoderContract
from embedtune.core.section import Section as Section
from embedtune.core.section import Share, Shares
from embedtune.core.settings_deploy import DeploySettings, ReleaseSettings
from embedtune.core.settings_export import ExportSettings
from embedtune.core.settings_serve import ServeSettings


class IngestSettings(Section):
    """How documents become chunks."""

    min_words: int = Field(default=200, ge=1, description="Chunks are filled to at least this many words.")
    max_words: int = Field(
        default=500, ge=10, description="Upper bound; the contract's max_length in tokens binds too."
    )
    min_document_words: int = Field(default=10, ge=1, description="Shorter documents are skipped and listed.")
    max_file_mb: float = Field(default=64.0, gt=0, description="Larger files are skipped and listed.")
    near_duplicate_jaccard: Share = Field(default=0.7, description="Word-5-gram Jaccard of near-duplicates.")
    near_duplicate_containment: Share = Field(default=0.8, description="Or this containment.")
    boilerplate_documents: int = Field(
        default=3, ge=1, description="A chunk in more documents than this is boilerplate: no questions."
    )
    max_component_share: Share = Field(
        default=0.3, description="A split unit above this share of the corpus is an error."
    )
    train_share: Share = Field(default=0.7, description="Share of chunks whose documents train may see.")
    dev_share: Share = Field(default=0.1, description="Share that picks the best checkpoint.")
    test_share: Share = Field(default=0.2, description="Share that decides (recipe: 20 %).")
    limit: int | None = Field(default=None, ge=1, description="Read only the first N documents.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_words > self.max_words:
            raise ValueError(f"min_words {self.min_words} is above max_words {self.max_words}")
        total = self.train_share + self.dev_share + self.test_share
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"train_share + dev_share + test_share is {total:g}, must be 1")
        return self


class EndpointSettings(Section):
    """An OpenAI-compatible chat endpoint."""

    base_url: str | None = Field(default=None, description="For example http://127.0.0.1:8080/v1.")
    model: str = Field(default="", description="Model name that the endpoint knows.")
    api_key_env: str = Field(default="OPENAI_API_KEY", description="Variable that holds the key.")
    temperature: float = Field(default=0.6, ge=0.0, le=2.0, description="Recipe: 0.6.")
    top_p: float = Field(default=0.95, gt=0.0, le=1.0, description="Recipe: 0.95.")
    max_tokens: int = Field(default=2048, ge=16, description="Tokens a reply may have.")
    seed: int | None = Field(default=None, description="Sent to the endpoint, for those that sample by it.")
    timeout_s: float = Field(default=120.0, gt=0, description="Seconds a request may take (recipe: 120).")
    concurrency: int = Field(default=16, ge=1, le=1024, description="Requests under way at most.")
    retries: int = Field(default=6, ge=0, le=20, description="Further attempts after 429, 5xx or a stall.")
    price_in: float = Field(default=0.0, ge=0, description="USD for a million prompt tokens.")
    price_out: float = Field(default=0.0, ge=0, description="USD for a million completion tokens.")


class GenerateSettings(Section):
    """Which questions are asked of the chunks, and which are kept."""

    llm: EndpointSettings = Field(default_factory=EndpointSettings, description="Writes the questions.")
    judge: EndpointSettings | None = Field(
        default=None, description="Judges them; None: the generator's endpoint at temperature 0."
    )
    recording: str | None = Field(
        default=None, description="A recording to replay instead of calling an endpoint (a path, or sample)."
    )
    questions_per_chunk: int = Field(default=3, ge=1, le=20, description="Asked in one call.")
    max_chunks: int | None = Field(
        default=None, ge=1, description="Ask about at most so many chunks, chosen by hash; None: all."
    )
    bundles_per_chunk: float = Field(
        default=0.4, ge=0.0, le=1.0, description="Multi-hop bundles made, per chunk of a split."
    )
    questions_per_bundle: int = Field(default=1, ge=1, le=10, description="Asked in one call.")
    max_hops: Literal[1, 2, 3] = Field(default=3, description="Recipe: 1 to 3 hops.")
    styles: Shares = Field(
        default={"question": 0.4, "keywords": 0.25, "symptom": 0.2, "howto": 0.15},
        description="What people really type, in these proportions.",
    )
    query_types: Shares = Field(
        default={"structural": 0.5, "contextual": 0.5},
        description="Of single-hop questions; bundles are multi_hop (the recipe's three types).",
    )
    reasoning_types: Shares = Field(
        default={
            "factual": 0.3,
            "procedural": 0.2,
            "causal": 0.15,
            "relational": 0.15,
            "inferential": 0.1,
            "temporal": 0.1,
        },
        description="The recipe's types without visual.",
    )
    complexities: dict[Literal[2, 3, 4, 5], Annotated[float, Field(ge=0.0)]] = Field(
        default={2: 0.35, 3: 0.35, 4: 0.2, 5: 0.1}, description="Asked-for complexity (recipe: at least 2)."
    )
    min_overall: float = Field(default=7.0, ge=1, le=10, description="Mean of the four scores (recipe: 7).")
    min_score: float = Field(default=5.0, ge=1, le=10, description="Each of the four scores.")
    duplicate_similarity: Share = Field(
        default=0.9, description="Cosine above which two questions are one (recipe: 0.9)."
    )
    round_trip_rank: int = Field(default=100, ge=1, description="Own passage must be found by this rank.")
    round_trip_share: Share = Field(default=0.1, description="Or by this share of the corpus, if smaller.")
    max_failed_share: Share = Field(default=0.2, description="More failed items stop the run.")
    max_cost: float | None = Field(default=None, ge=0, description="USD; the run stops before it is passed.")
    confirm_above: float = Field(
        default=5.0, ge=0, description="USD; the command line asks before it spends more than this."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("styles", "query_types", "reasoning_types", "complexities"):
            if sum(getattr(self, name).values()) <= 0:
                raise ValueError(f"{name} needs at least one positive share")
        return self


class SplitSettings(Section):
    """What the dataset must prove."""

    min_test_queries: int = Field(default=50, ge=1, description="Fewer give a warning (recipe: 50).")
    min_train_queries: int = Field(default=100, ge=1, description="Fewer give a warning (recipe: 100).")
    duplicate_similarity: Share = Field(
        default=0.9, description="Word-3-gram Jaccard above which questions of two splits are one: a leak."
    )


class MineSettings(Section):
    """Hard negatives: confusing, but truly wrong."""

    negatives: int = Field(default=5, ge=1, le=100, description="Mined for each query (recipe: 5).")
    min_negatives: int = Field(default=4, ge=1, description="Fewer drop the query.")
    margin: float = Field(
        default=0.05, ge=0.0, lt=1.0, description="Candidates above p - margin*|p| are rejected (recipe: 95 %)."
    )
    max_short_share: Share = Field(default=0.3, description="More queries with too few negatives stop the run.")
    block: int = Field(default=50_000, ge=256, description="Passages held in memory at once (recipe: 50,000).")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_negatives > self.negatives:
            raise ValueError(f"min_negatives {self.min_negatives} is above negatives {self.negatives}")
        return self


class LoraSettings(Section):
    """Low-rank adapters instead of all weights; merged into the saved model."""

    rank: int = Field(default=16, ge=1, le=512, description="Rank of the update.")
    alpha: int = Field(default=32, ge=1, description="Scale: alpha / rank.")
    dropout: Share = Field(default=0.0, description="Dropout before the adapters.")


class TrainSettings(Section):
    """The fine-tuning."""

    loss: Literal["own_negatives", "in_batch"] = Field(
        default="own_negatives",
        description="own_negatives: the recipe's; in_batch: also the other rows' passages, masked.",
    )
    temperature: float = Field(default=0.02, gt=0.0, le=1.0, description="Recipe: 0.02.")
    negatives: int = Field(default=4, ge=0, le=64, description="Own negatives used, the first N mined.")
    epochs: float = Field(default=3.0, gt=0, le=100, description="Recipe: 3.")
    learning_rate: float = Field(default=1e-5, gt=0, le=1.0, description="Recipe: 1e-5.")
    batch_size: int = Field(
        default=128, ge=2, description="Rows an optimiser step; 128 shrinks below 2,000 rows (recipe)."
    )
    micro_batch_size: int = Field(default=4, ge=1, description="Rows at a time in memory (recipe: 4).")
    warmup_steps: int = Field(default=5, ge=0, description="Recipe: 5.")
    weight_decay: float = Field(default=0.01, ge=0, description="None on bias and norm (recipe: 0.01).")
    max_grad_norm: float = Field(default=1.0, gt=0, description="Recipe: 1.0.")
    matryoshka: bool = Field(default=False, description="Train every size in contract.dimensions.")
    lora: LoraSettings | None = Field(default=None, description="Train adapters only.")
    precision: Literal["auto", "fp32", "bf16"] = Field(default="auto", description="auto: bf16 on a GPU.")
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(default="auto", description="auto: on a GPU.")
    evaluations_per_epoch: int = Field(default=1, ge=1, le=100, description="Dev nDCG@10 measurements.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.loss == "own_negatives" and self.negatives == 0:
            raise ValueError("loss own_negatives needs negatives >= 1")
        return self


class EvaluateSettings(Section):
    """How base and tuned are compared."""

    k: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(
        default=(1, 5, 10, 100), description="Cut-offs; 10 is always added, since the verdict needs it."
    )
    bootstrap_samples: int = Field(default=10_000, ge=100, description="Paired resamples of the queries.")
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="Width of the intervals.")
    decide_on: str | None = Field(
        default=None, description="Deciding set; None: the first --eval-set, else the synthetic test."
    )
    examples: int = Field(default=8, ge=0, le=100, description="Wins and losses shown in the report.")


class StorageSettings(Section):
    """An S3-compatible object store for s3:// addresses."""

    endpoint: str | None = Field(default=None, description="host:port, without a scheme.")
    secure: bool = Field(default=True, description="TLS.")
    region: str | None = Field(default=None, description="Region, where the store wants one.")


class RuntimeSettings(Section):
    """Where and how fast, never what: these settings do not enter an artifact's identity."""

    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: the GPU if there is one.")
    encode_batch_size: int = Field(default=32, ge=1, description="Texts encoded at a time.")


class Config(Section):
    """The whole configuration of a run."""

    seed: int = Field(default=42, ge=0, description="Recipe: 42.")
    contract: EncoderContract = Field(description="How texts become vectors.")
    ingest: IngestSettings = Field(default_factory=IngestSettings, description="Stage ingest.")
    generate: GenerateSettings = Field(default_factory=GenerateSettings, description="Stage generate.")
    split: SplitSettings = Field(default_factory=SplitSettings, description="Stage split.")
    mine: MineSettings = Field(default_factory=MineSettings, description="Stage mine.")
    train: TrainSettings = Field(default_factory=TrainSettings, description="Stage train.")
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings, description="Stage evaluate.")
    export: ExportSettings = Field(default_factory=ExportSettings, description="Stage export.")
    deploy: DeploySettings = Field(default_factory=DeploySettings, description="Stage deploy.")
    release: ReleaseSettings = Field(default_factory=ReleaseSettings, description="Where releases live.")
    serve: ServeSettings = Field(default_factory=ServeSettings, description="Triton and the gateway.")
    storage: StorageSettings = Field(default_factory=StorageSettings, description="Object store.")
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings, description="This machine.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.train.negatives > self.mine.min_negatives:
            raise ValueError(
                f"train.negatives {self.train.negatives} is above mine.min_negatives {self.mine.min_negatives}"
            )
        if self.train.matryoshka and len(self.contract.dimensions) < 2:
            raise ValueError("train.matryoshka needs at least two sizes in contract.dimensions")
        return self
