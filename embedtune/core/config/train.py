"""Settings of the stage train: loss, optimiser, adapters and the format of the saved weights."""

from typing import Literal, Self

from pydantic import Field, model_validator

from embedtune.core.config.section import Section, Share


class LoraSettings(Section):
    """Low-rank adapters instead of all weights; merged into the saved model."""

    rank: int = Field(default=16, ge=1, le=512, description="Rank of the weight update.")
    alpha: int = Field(default=32, ge=1, description="The update is scaled by alpha / rank.")
    dropout: Share = Field(default=0.0, description="Dropout applied before the adapters.")


class TrainSettings(Section):
    """The fine-tuning."""

    loss: Literal["own_negatives", "in_batch", "hybrid"] = Field(
        default="own_negatives",
        description="own_negatives: only a row's own negatives, as in the recipe; in_batch: also the passages of "
        "the other rows, with false negatives masked; hybrid: like in_batch, but learns mainly how the base model "
        "joined with BM25 ranks the passages of the batch.",
    )
    temperature: float = Field(default=0.02, gt=0.0, le=1.0, description="Temperature of the loss (recipe: 0.02).")
    negatives: int = Field(
        default=4, ge=0, le=64, description="Number of mined negatives used per row, the first ones (recipe: 4)."
    )
    epochs: float = Field(default=3.0, gt=0, le=100, description="Passes over the train split (recipe: 3).")
    learning_rate: float = Field(default=1e-5, gt=0, le=1.0, description="Peak learning rate (recipe: 1e-5).")
    batch_size: int = Field(
        default=128,
        ge=2,
        description="Rows per optimiser step; 128 is reduced if there are fewer than 2,000 rows (recipe).",
    )
    micro_batch_size: int = Field(default=4, ge=1, description="Rows processed at once in memory (recipe: 4).")
    warmup_steps: int = Field(
        default=5, ge=0, description="Steps over which the learning rate rises to its peak (recipe: 5)."
    )
    weight_decay: float = Field(
        default=0.01, ge=0, description="Weight decay, not applied to biases and norms (recipe: 0.01)."
    )
    max_grad_norm: float = Field(
        default=1.0, gt=0, description="Norm to which gradients are clipped (recipe: 1.0)."
    )
    seeds: int = Field(
        default=1,
        ge=1,
        le=20,
        description="Number of trainings: with `seed`, whose model is kept, and with the numbers after it. Their "
        "spread becomes part of the verdict's intervals. 1 or at least 3, and as many times the cost.",
    )
    matryoshka: bool = Field(default=False, description="Train for every size in contract.dimensions.")
    lora: LoraSettings | None = Field(
        default=None, description="Train low-rank adapters instead of all weights; None: all weights."
    )
    base_share: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="Share of the base model's weights in the saved model: 0 saves the trained weights, 0.5 those "
        'half way between both, which keep more of what the base model knows (docs/experiments.md, "What pays").',
    )
    align: bool = Field(
        default=False,
        description="Turn the tuned vectors into the space of the base model's, which changes no score: the tuned "
        "model then also searches an index of the base's vectors, so that passages can be re-indexed one by one. "
        "The model gets a Dense module.",
    )
    save_dtype: Literal["base", "fp32", "bf16", "fp16"] = Field(
        default="base",
        description="Number format of the saved weights; base: the one of the base model's weights, so that the "
        "tuned model is as large. Dev nDCG@10 is measured on the saved weights.",
    )
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(
        default="auto", description="Recompute activations to save memory; auto: on a GPU only."
    )
    evaluations_per_epoch: int = Field(
        default=1, ge=1, le=100, description="Number of times nDCG@10 on dev is measured in each epoch."
    )
    dev_passages: int = Field(
        default=50_000,
        ge=1,
        description="Number of passages that checkpoints are ranked among: those that answer dev questions, the "
        "base model's nearest and a sample; a smaller corpus is used whole.",
    )
    checkpoint_steps: int | None = Field(
        default=None,
        ge=1,
        description="Number of steps between checkpoints that an interrupted run continues from, in addition to "
        "one at each measurement on dev; None: only those.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.loss == "own_negatives" and self.negatives == 0:
            raise ValueError("loss own_negatives needs negatives >= 1")
        if self.seeds == 2:
            raise ValueError("seeds must be 1 or at least 3: two results do not show a spread")
        return self
