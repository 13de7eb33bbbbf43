"""The header of a recording: the settings it was made with, and the bundles that a replay must use."""

from pydantic import BaseModel, ConfigDict

from embedtune.core.config.generate import LLMEndpointSettings


class RecordedModel(BaseModel):
    """The settings of an LLM endpoint that decide its replies."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    temperature: float
    top_p: float
    max_tokens: int

    @classmethod
    def of(cls, settings: LLMEndpointSettings) -> "RecordedModel":
        """Return the part of the settings that is recorded."""
        return cls(
            model=settings.model,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
        )

    def settings(self) -> LLMEndpointSettings:
        """Return the settings to replay with; they name no URL."""
        return LLMEndpointSettings(
            model=self.model, temperature=self.temperature, top_p=self.top_p, max_tokens=self.max_tokens
        )


class RecordingHeader(BaseModel):
    """The description of a recording. `embedtune/llm/cache.py` writes it next to a format version.

    Attributes:
        embedtune: Version of embedtune that made the recording.
        licence: Licence of the recorded LLM.
        date: Date of the recording, YYYY-MM-DD.
        generator: The LLM that wrote the questions.
        judge: The LLM that judged them.
        prompts: Hash of each prompt file, by name.
        bundles: Chunk ids of each bundle.
        unanswered: Keys of requests that got no usable reply: a replay must not mistake them for other documents.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    embedtune: str
    licence: str
    date: str
    generator: RecordedModel
    judge: RecordedModel
    prompts: dict[str, str]
    bundles: tuple[tuple[str, ...], ...]
    unanswered: tuple[str, ...]
