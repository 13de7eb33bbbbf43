"""Settings of the stage generate: the LLM endpoints, what is asked, and what is kept."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from embedtune.core.config.section import Section, Share, Shares


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
