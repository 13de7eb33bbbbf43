"""Settings of the stage split: what the dataset is checked for."""

from pydantic import Field

from embedtune.core.config.section import Section, Share


class SplitSettings(Section):
    """What the dataset is checked for."""

    min_test_queries: int = Field(default=50, ge=1, description="Fewer test queries cause a warning (recipe: 50).")
    min_train_queries: int = Field(
        default=100, ge=1, description="Fewer train queries cause a warning (recipe: 100)."
    )
    duplicate_similarity: Share = Field(
        default=0.9,
        description="Jaccard similarity of word-3-grams above which questions of two splits are a leak.",
    )
