"""The complete configuration of a run. Each section has its own module and documents its fields."""

from typing import Self

from pydantic import Field, model_validator

from embedtune.core.config.base import BaseSettings
from embedtune.core.config.deploy import DeploySettings, ReleaseSettings
from embedtune.core.config.evaluate import EvaluateSettings
from embedtune.core.config.export import ExportSettings
from embedtune.core.config.generate import GenerateSettings
from embedtune.core.config.ingest import IngestSettings
from embedtune.core.config.machine import RuntimeSettings, StorageSettings
from embedtune.core.config.mine import MineSettings
from embedtune.core.config.section import Section
from embedtune.core.config.serve import ServeSettings
from embedtune.core.config.split import SplitSettings
from embedtune.core.config.tracking import TrackingSettings
from embedtune.core.config.train import TrainSettings
from embedtune.core.contract import EncoderContract


class Config(Section):
    """The complete configuration of a run."""

    seed: int = Field(default=42, ge=0, description="Seed of every random choice (recipe: 42).")
    contract: EncoderContract = Field(description="The encoder contract: how texts become vectors.")
    base: BaseSettings = Field(
        default_factory=BaseSettings, description="How strictly the base model's own files are followed."
    )
    ingest: IngestSettings = Field(
        default_factory=IngestSettings, description="Stage ingest: cuts documents into chunks."
    )
    generate: GenerateSettings = Field(
        default_factory=GenerateSettings,
        description="Stage generate: writes and judges questions about the chunks.",
    )
    split: SplitSettings = Field(
        default_factory=SplitSettings, description="Stage split: builds and checks the dataset."
    )
    mine: MineSettings = Field(default_factory=MineSettings, description="Stage mine: finds hard negatives.")
    train: TrainSettings = Field(
        default_factory=TrainSettings, description="Stage train: fine-tunes the base model."
    )
    evaluate: EvaluateSettings = Field(
        default_factory=EvaluateSettings, description="Stage evaluate: compares the tuned model with its base."
    )
    export: ExportSettings = Field(
        default_factory=ExportSettings, description="Stage export: builds and checks an engine."
    )
    deploy: DeploySettings = Field(
        default_factory=DeploySettings, description="Stage deploy: publishes a release and makes it live."
    )
    release: ReleaseSettings = Field(
        default_factory=ReleaseSettings, description="The release store, and who decides which release is live."
    )
    serve: ServeSettings = Field(
        default_factory=ServeSettings, description="Batching and limits of Triton and the gateway."
    )
    storage: StorageSettings = Field(
        default_factory=StorageSettings, description="Object store for s3:// addresses."
    )
    runtime: RuntimeSettings = Field(
        default_factory=RuntimeSettings, description="Device and batch size on this machine."
    )
    tracking: TrackingSettings = Field(
        default_factory=TrackingSettings, description="Records trainings in TensorBoard, MLflow or W&B."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.train.negatives > self.mine.min_negatives:
            raise ValueError(
                f"train.negatives {self.train.negatives} is greater than "
                f"mine.min_negatives {self.mine.min_negatives}"
            )
        if self.train.matryoshka and len(self.contract.dimensions) < 2:
            raise ValueError("train.matryoshka needs at least two sizes in contract.dimensions")
        if self.train.align and len(self.contract.dimensions) > 1:
            raise ValueError(
                "train.align needs a single size in contract.dimensions: vectors that were turned cannot be cut"
            )
        return self
