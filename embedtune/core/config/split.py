"""Settings of the stage split: the checks on the dataset, and questions of people to train on."""

from typing import Literal

from pydantic import Field

from embedtune.core.config.section import Section, Share

HumanKind = Literal["questions", "faq", "feedback"]


class HumanPairs(Section):
    """Questions of people with their answers, as further train questions."""

    kind: HumanKind = Field(
        description="questions: JSON lines as for `embedtune eval-set`, with quotes. faq: JSON lines with "
        "`question` and `answer`, whose words are in the documents. feedback: what a gateway with --feedback "
        "writes."
    )
    place: str = Field(min_length=1, description="A file, a directory of .jsonl files, or s3://bucket/prefix.")
    weight: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="How much each of these questions counts in the training loss: with 2, twice as much as a "
        "generated question, which has 1.",
    )
    min_choices: int = Field(
        default=1, ge=1, description="feedback: in how many records an answer has to be chosen for a question."
    )
    version: str = Field(
        default="", description="Set by a pipeline's task prepare: what is at the place, for Kubeflow's cache."
    )


class SplitSettings(Section):
    """The checks on the dataset, and questions of people to train on."""

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
    human_pairs: tuple[HumanPairs, ...] = Field(
        default=(),
        description="Questions of people that are trained on, if they are about train documents and repeat no dev "
        "or test question.",
    )
