"""Settings of the stage generate: the LLM endpoints, the questions asked for, and the limits for keeping them."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator, model_validator

from embedtune.core.config.asked_shares import AskedShares
from embedtune.core.config.masking import MaskSettings
from embedtune.core.config.section import Section, Share, Shares

# Headers that carry a key: keys come from environment variables, never from a configuration.
KEY_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "proxy-authorization"})
# What belongs to an address, and what to a model: a judge elsewhere, or another model, does not inherit it.
OF_ADDRESS = ("api_key_env", "api_key_header", "headers", "query", "extra", "batch", "batch_price")
OF_MODEL = ("price_in", "price_out")


# The prompt files; a user's own file replaces one of them.
PromptName = Literal["generate_single", "generate_multi", "judge", "judge_multi"]


class LLMEndpointSettings(Section):
    """An OpenAI-compatible chat endpoint."""

    base_url: str | None = Field(
        default=None, description="URL of the LLM endpoint, for example http://127.0.0.1:8080/v1."
    )
    model: str = Field(default="", description="Name by which the LLM endpoint knows the model.")
    api_key_env: str | None = Field(
        default="OPENAI_API_KEY",
        description="Environment variable that holds the API key of the LLM endpoint. None: no key is sent.",
    )
    api_key_header: str | None = Field(
        default=None,
        description="Header that carries the key itself, such as `api-key` for Azure. None: Authorization.",
    )
    temperature: float | None = Field(
        default=0.6, ge=0.0, le=2.0, description="Sampling temperature (recipe: 0.6). None: not sent."
    )
    top_p: float | None = Field(
        default=0.95, gt=0.0, le=1.0, description="Nucleus sampling (recipe: 0.95). None: not sent."
    )
    max_tokens: int | None = Field(
        default=2048,
        ge=16,
        description="Maximum number of tokens per reply, thinking included. None: not sent.",
    )
    seed: int | None = Field(
        default=None, description="Sampling seed sent to the LLM endpoint; some endpoints ignore it."
    )
    extra: dict[str, JsonValue] = Field(
        default={},
        description="Further fields of the request, such as {reasoning_effort: low}. Others make other replies.",
    )
    headers: dict[str, str] = Field(default={}, description="Further HTTP headers; never keys.")
    query: dict[str, str] = Field(
        default={}, description="Query parameters, such as {api-version: 2024-10-21} for Azure."
    )
    timeout_s: float = Field(default=120.0, gt=0, description="Timeout per request in seconds (recipe: 120).")
    concurrency: int = Field(default=16, ge=1, le=1024, description="Maximum number of requests in flight.")
    retries: int = Field(
        default=6,
        ge=0,
        le=20,
        description="Number of retries after HTTP 429 or 5xx, a timeout or a lost connection.",
    )
    outage_s: float = Field(
        default=900.0,
        ge=0,
        description="Seconds to wait while an LLM endpoint that has answered before does not answer.",
    )
    price_in: float | None = Field(
        default=None, ge=0, description="USD per million prompt tokens. None: unknown; 0: free."
    )
    price_out: float | None = Field(
        default=None, ge=0, description="USD per million completion tokens. None: unknown; 0: free."
    )

    batch: Literal["none", "api", "files"] = Field(
        default="none",
        description="How calls are sent: one by one (none), in batches within 24 hours through OpenAI's Batch API "
        "(api), or as files for `vllm run-batch` (files).",
    )
    batch_price: float = Field(
        default=0.5,
        ge=0.0,
        description="Price of a call in a batch, as a share of price_in and price_out (OpenAI's Batch API: 0.5).",
    )

    @field_validator("headers")
    @classmethod
    def _no_keys(cls, headers: dict[str, str]) -> dict[str, str]:
        if KEY_HEADERS & {name.lower() for name in headers}:
            raise ValueError("a key does not belong into a configuration: use api_key_env and api_key_header")
        return headers

    @field_validator("extra")
    @classmethod
    def _nothing_of_ours(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        taken = {"model", "messages", "response_format", "temperature", "top_p", "seed", "stream", "n"}
        taken |= {"max_tokens", "max_completion_tokens"}
        if taken & set(extra):
            raise ValueError(f"{', '.join(sorted(taken & set(extra)))}: not in extra, embedtune sets it itself")
        return extra


class GenerateSettings(Section):
    """Settings that decide which questions are asked about the chunks, and which are kept."""

    llm: LLMEndpointSettings = Field(
        default_factory=LLMEndpointSettings, description="The LLM endpoint that writes the questions."
    )
    judge: LLMEndpointSettings | None = Field(
        default=None,
        description="LLM endpoint that judges the questions, at temperature 0. Unset values are the generator's, "
        "except key, headers, query and extra at another address, and prices of another model.",
    )
    mask: MaskSettings | None = Field(
        default=None,
        description="Masks personal data in passages before they are sent to an LLM (extra `privacy`). None: "
        "passages are sent as they are.",
    )
    recording: str | None = Field(
        default=None,
        description="Recording to replay instead of calling an LLM endpoint: a path, or `sample`.",
    )
    domain: str | None = Field(
        default=None,
        description="What the documents are, for the LLM: `rental contracts and letters to tenants`.",
    )
    audience: str | None = Field(
        default=None, description="Who searches them, for the LLM: `tenants, who do not know legal terms`."
    )
    language: str | None = Field(
        default=None,
        description="Language of the questions, in English (`German`). None: each passage's own language.",
    )
    personas: tuple[str, ...] = Field(
        default=(),
        description="Kinds of people who search, such as `a new colleague`; each question is written for one.",
    )
    example_queries: str | None = Field(
        default=None,
        description="Text file of real queries, one per line: the LLM sees a few per call, for their style. No "
        "evaluation set may contain one of them.",
    )
    reviews: str | None = Field(
        default=None,
        description="What people decided about the questions: a file of `embedtune questions --import`. Default: "
        "`reviews.jsonl` in the work directory, if there is one. No LLM call depends on it.",
    )
    context_words: int = Field(
        default=0,
        ge=0,
        le=500,
        description="Words of the text before and after a chunk that the LLM sees too. 0: only its heading path.",
    )
    prompts: dict[PromptName, str] = Field(
        default={},
        description="Your own prompt files, by name; for the others the shipped ones are used.",
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
        default={"question": 0.55, "keywords": 0.15, "symptom": 0.15, "howto": 0.15},
        description="Proportions of the styles in which people actually search.",
    )
    asked_shares: AskedShares = Field(
        default_factory=AskedShares,
        description="Share of the passages that questions are asked about, of kinds that people rarely ask about.",
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
    max_word_overlap: Share = Field(
        default=0.7,
        description="Largest share, by BM25 weight, of a question's words that its passage may contain: "
        "with more, matching words answers it. 1: no limit. Of people's questions, most are below 0.5.",
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
        description="Ceiling in USD on the LLM calls about the same chunks, of all runs with the same cache "
        "together; a run stops before exceeding it. Needs price_in and price_out. None: no ceiling.",
    )
    confirm_above: float = Field(
        default=5.0, ge=0, description="Amount in USD above which the command line asks before spending anything."
    )

    @property
    def prices_known(self) -> bool:
        """Whether any price is set: 0 means free, and no price means that the cost is unknown."""
        endpoints = (self.llm, self.judge or self.llm)
        return any(price is not None for one in endpoints for price in (one.price_in, one.price_out))

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("styles", "query_types", "reasoning_types", "complexities"):
            if sum(getattr(self, name).values()) <= 0:
                raise ValueError(f"{name} needs at least one positive share")
        if self.mask is not None:
            self._require_all_masked()
        if self.judge is not None:
            # A frozen model is changed here, while it is made: what is dumped and read again is complete.
            object.__setattr__(self, "judge", _complete_judge(self.llm, self.judge))
        if self.max_cost is not None and self.recording is None:
            self._require_prices()
        return self

    def _require_all_masked(self) -> None:
        for name in ("context_words", "example_queries"):
            if getattr(self, name):
                raise ValueError(f"mask covers the passages only: {name} would send other text as it is, unset it")

    def _require_prices(self) -> None:
        for name, endpoint in (("llm", self.llm), ("judge", self.judge or self.llm)):
            for key in ("price_in", "price_out", "max_tokens"):
                if getattr(endpoint, key) is None:
                    hint = "tokens per reply" if key == "max_tokens" else "USD per million tokens, 0 if it is free"
                    raise ValueError(f"max_cost cannot be kept without generate.{name}.{key} ({hint})")


def _complete_judge(llm: LLMEndpointSettings, judge: LLMEndpointSettings) -> LLMEndpointSettings:
    """Return the judge's settings with the generator's for what they do not set, at temperature 0."""
    inherited = {name: getattr(llm, name) for name in LLMEndpointSettings.model_fields}
    inherited["temperature"] = None if llm.temperature is None else 0.0
    defaults = LLMEndpointSettings()
    same_address = judge.base_url is None or _address(judge.base_url) == _address(llm.base_url)
    if not same_address:
        inherited |= {name: getattr(defaults, name) for name in OF_ADDRESS} | {"api_key_env": None}
    if not same_address or judge.model not in ("", llm.model):
        inherited |= {name: getattr(defaults, name) for name in OF_MODEL}
    own = {name: getattr(judge, name) for name in judge.model_fields_set}
    # An empty address or model is the generator's, also in a file that names every key.
    own = {name: value for name, value in own.items() if not (name in ("base_url", "model") and not value)}
    return LLMEndpointSettings.model_validate({**inherited, **own})


def _address(url: str | None) -> tuple[str, str] | None:
    """Return scheme, host and port of a URL."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    return (parts.scheme, parts.netloc.rpartition("@")[2].lower()) if parts.netloc else None
