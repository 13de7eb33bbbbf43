"""Settings of experiment tracking."""

from typing import Literal

from pydantic import Field

from embedtune.core.config.section import Section

Tool = Literal["tensorboard", "mlflow", "wandb"]


class TrackingSettings(Section):
    """Where `embedtune run` records trainings too; no stage's output depends on it."""

    to: tuple[Tool, ...] = Field(
        default=(),
        description="Tools that receive settings, loss, learning rate, dev nDCG@10 and the verdict of each "
        "training; they are in the extra `tracking`. Addresses and keys come from the tools' own environment "
        "variables.",
    )
    report: bool = Field(
        default=False,
        description="Upload report.html too. It quotes questions and passages, which then leave the machine.",
    )
