"""Settings of the stage generate: the LLM endpoints, the questions asked for, and the limits for keeping them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from embedtune.core.config.section import Section, Share, Shares


class LLMEndpointSettings(Section):
    """An OpenAI-compatible chat endpoint."""

    base_url: str | None = Field(
        default=None, description="URL of the LLM endpoint, for example http://127.0.0.1:8080/v1."
    )
    model: str = Field(default="", description="Name by which the LLM endpoint knows the model.")
    api_key_env: str = Field(
        default="OPENAI_API_KEY", description="Environment variable that holds the API key of the LLM endpoint."
    )
    temperature: float = Field(default=0.6, ge=0.0, le=2.0, description="Sampling temperature (recipe: 0.6).")
    top_p: float = Field(default=0.95, gt=0.0, le=1.0, description="Nucleus sampling (recipe: 0.95).")
    max_tokens: int = Field(default=2048, ge=16, description="Maximum number of tokens per reply.")
    seed: int | None = Field(
        default=None, description="Sampling seed sent to the LLM endpoint; some endpoints ignore it."
    )
    timeout_s: float = Field(default=120.0, gt=0, description="Timeout per request in seconds (recipe: 120).")
    concurrency: int = Field(default=16, ge=1, le=1024, description="Maximum number of requests in flight.")
    retries: int = Field(
        default=6,
        ge=0,
        le=20,
        description="Number of retries after HTTP 429 or 5xx, a timeout or a lost connection.",
    )
    price_in: float = Field(default=0.0, ge=0, description="USD per million prompt tokens.")
    price_out: float = Field(default=0.0, ge=0, description="USD per million completion tokens.")


class GenerateSettings(Section):
    """Settings that decide which questions are asked about the chunks, and which are kept."""

    llm: LLMEndpointSettings = Field(
        default_factory=LLMEndpointSettings, description="The LLM endpoint that writes the questions."
    )
    judge: LLMEndpointSettings | None = Field(
        default=None,
        description="LLM endpoint that judges the questions. None: the one that writes them, at temperature 0.",
    )
    recording: str | None = Field(
        default=None,
        description="Recording to replay instead of calling an LLM endpoint: a path, or `sample`.",
    )
    questions_per_chunk: int = Field(
        default=3, ge=1, le=20, description="Number of questions per chunk, written in one call."
    )
    max_chunks: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of chunks to write questions about, chosen by hash. None: all chunks.",
    )
    bundles_per_chunk: float = Field(
        default=0.4, ge=0.0, le=1.0, description="Number of bundles for multi-hop questions, per chunk of a split."
    )
    questions_per_bundle: int = Field(
        default=1, ge=1, le=10, description="Number of questions per bundle, written in one call."
    )
    max_hops: Literal[1, 2, 3] = Field(
        default=3, description="Maximum number of passages that a question needs (recipe: 1 to 3 hops)."
    )
    styles: Shares = Field(
        default={"question": 0.4, "keywords": 0.25, "symptom": 0.2, "howto": 0.15},
        description="Proportions of the styles in which people actually search.",
    )
    query_types: Shares = Field(
        default={"structural": 0.5, "contextual": 0.5},
        description="Proportions among single-hop questions; the recipe's third type, multi_hop, is for bundles.",
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
        description="Proportions of the recipe's reasoning types, except visual.",
    )
    complexities: dict[Literal[2, 3, 4, 5], Annotated[float, Field(ge=0.0)]] = Field(
        default={2: 0.35, 3: 0.35, 4: 0.2, 5: 0.1},
        description="Proportions of the requested complexities (recipe: at least 2).",
    )
    min_overall: float = Field(
        default=7.0,
        ge=1,
        le=10,
        description="Lowest mean of the judge's four scores that is accepted (recipe: 7).",
    )
    min_score: float = Field(
        default=5.0, ge=1, le=10, description="Lowest value of each of the four scores that is accepted."
    )
    duplicate_similarity: Share = Field(
        default=0.9, description="Cosine above which two questions count as duplicates (recipe: 0.9)."
    )
    round_trip_rank: int = Field(
        default=100, ge=1, description="Rank within which a train question's own passage must be found."
    )
    round_trip_share: Share = Field(
        default=0.1, description="The same limit as a share of the corpus; the smaller of the two applies."
    )
    max_failed_share: Share = Field(
        default=0.2, description="Largest share of LLM calls that may fail before the run stops."
    )
    max_cost: float | None = Field(
        default=None,
        ge=0,
        description="Cost ceiling in USD; the run stops before exceeding it. None: no ceiling.",
    )
    confirm_above: float = Field(
        default=5.0, ge=0, description="Amount in USD above which the command line asks before spending anything."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("styles", "query_types", "reasoning_types", "complexities"):
            if sum(getattr(self, name).values()) <= 0:
                raise ValueError(f"{name} needs at least one positive share")
        return self
