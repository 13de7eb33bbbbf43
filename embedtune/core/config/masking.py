"""Section `generate.mask`: personal data that no LLM endpoint may see."""

from typing import Self

from pydantic import Field, model_validator

from embedtune.core.config.section import Section, Share

# What only a language model recognises: no pattern tells a name from another word.
NEEDS_MODEL = ("PERSON", "LOCATION", "NRP", "ORGANIZATION")


class MaskSettings(Section):
    """Settings of the filter that masks personal data in what is sent to an LLM endpoint."""

    entities: list[str] = Field(
        default=["PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "IBAN_CODE", "CREDIT_CARD"],
        min_length=1,
        description="Kinds of personal data to mask, as Presidio names them.",
    )
    models: dict[str, str | None] = Field(
        min_length=1,
        description="For each language of the documents, the spaCy model that recognises names: a package such as "
        "`en_core_web_lg`, or a directory. null: patterns only, which find no names.",
    )
    min_score: Share = Field(
        default=0.35, description="Lowest confidence of Presidio that is masked; it gives a phone number 0.4."
    )
    keep: list[str] = Field(
        default=[], description="Words never to mask, for example product names that are taken for people."
    )

    @model_validator(mode="after")
    def _models_for_names(self) -> Self:
        names = [entity for entity in self.entities if entity in NEEDS_MODEL]
        without = [language for language, model in self.models.items() if model is None]
        if names and without:
            raise ValueError(
                f"{', '.join(names)} cannot be recognised in {', '.join(without)} without a spaCy model: set "
                "models, or leave the kinds out of entities"
            )
        return self
