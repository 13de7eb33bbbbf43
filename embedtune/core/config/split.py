"""Settings of the stage split: the checks on the dataset."""

from pydantic import Field

from embedtune.core.config.section import Section, Share


class SplitSettings(Section):
    """The checks on the dataset."""

    min_test_queries: int = Field(
        default=50, ge=1, description="Warn if there are fewer test queries than this (recipe: 50)."
    )
    min_train_queries: int = Field(
        default=100, ge=1, description="Warn if there are fewer train queries than this (recipe: 100)."
    )
    duplicate_similarity: Share = Field(
        default=0.9,
        description="Jaccard similarity of word-3-grams above which questions of two splits are a leak.",
    )
