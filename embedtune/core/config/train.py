"""Settings of the stage train."""

from typing import Literal, Self

from pydantic import Field, model_validator

from embedtune.core.config.section import Section, Share


class LoraSettings(Section):
    """Low-rank adapters instead of all weights; merged into the saved model."""

    rank: int = Field(default=16, ge=1, le=512, description="Rank of the update.")
    alpha: int = Field(default=32, ge=1, description="Scale: alpha / rank.")
    dropout: Share = Field(default=0.0, description="Dropout before the adapters.")


class TrainSettings(Section):
    """The fine-tuning."""

    loss: Literal["own_negatives", "in_batch"] = Field(
        default="own_negatives",
        description="own_negatives: the recipe's; in_batch: also the other rows' passages, masked.",
    )
    temperature: float = Field(default=0.02, gt=0.0, le=1.0, description="Recipe: 0.02.")
    negatives: int = Field(default=4, ge=0, le=64, description="Own negatives used, the first N mined.")
    epochs: float = Field(default=3.0, gt=0, le=100, description="Recipe: 3.")
    learning_rate: float = Field(default=1e-5, gt=0, le=1.0, description="Recipe: 1e-5.")
    batch_size: int = Field(
        default=128, ge=2, description="Rows an optimiser step; 128 shrinks below 2,000 rows (recipe)."
    )
    micro_batch_size: int = Field(default=4, ge=1, description="Rows at a time in memory (recipe: 4).")
    warmup_steps: int = Field(default=5, ge=0, description="Recipe: 5.")
    weight_decay: float = Field(default=0.01, ge=0, description="None on bias and norm (recipe: 0.01).")
    max_grad_norm: float = Field(default=1.0, gt=0, description="Recipe: 1.0.")
    matryoshka: bool = Field(default=False, description="Train every size in contract.dimensions.")
    lora: LoraSettings | None = Field(default=None, description="Train adapters only.")
    precision: Literal["auto", "fp32", "bf16"] = Field(default="auto", description="auto: bf16 on a GPU.")
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(default="auto", description="auto: on a GPU.")
    evaluations_per_epoch: int = Field(default=1, ge=1, le=100, description="Dev nDCG@10 measurements.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.loss == "own_negatives" and self.negatives == 0:
            raise ValueError("loss own_negatives needs negatives >= 1")
        return self
