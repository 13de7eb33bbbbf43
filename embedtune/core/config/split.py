"""Settings of the stage split: what the dataset must prove."""

from pydantic import Field

from embedtune.core.config.section import Section, Share


class SplitSettings(Section):
    """What the dataset must prove."""

    min_test_queries: int = Field(default=50, ge=1, description="Fewer give a warning (recipe: 50).")
    min_train_queries: int = Field(default=100, ge=1, description="Fewer give a warning (recipe: 100).")
    duplicate_similarity: Share = Field(
        default=0.9, description="Word-3-gram Jaccard above which questions of two splits are one: a leak."
    )
