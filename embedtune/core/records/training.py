"""training.json of the model artifact: the curves of loss and of dev nDCG@10, and which step was kept."""

from typing import ClassVar, Literal

from embedtune.core.records.base import JsonRecord, Part

TRAINING_FILE = "training.json"
SHARES = (0.25, 0.5, 0.75)  # of the base model, measured on dev in addition to the one that is saved
SEEDS_FOLDER = "seeds"  # of the model artifact: one model directory per further seed
EVALUATION_MARK = "<!-- evaluation -->"  # in the model card; the report puts the figures there


class TrainingStep(Part):
    """An optimiser step."""

    step: int
    epoch: float
    loss: float
    lr: float


class DevPoint(Part):
    """A measurement on the dev questions; step 0 is the base model."""

    step: int
    epoch: float
    ndcg_at_10: float


class KeptStep(Part):
    """The step whose weights were kept; nDCG@10 is that of the saved weights, None without dev questions."""

    step: int
    epoch: float
    ndcg_at_10: float | None


class SizeComparison(Part):
    """Dev nDCG@10 of the base and tuned models with vectors cut to one size."""

    dimension: int
    base: float
    tuned: float


class SharePoint(Part):
    """A measurement on dev of weights between those of the base model, share 1, and the tuned ones, share 0."""

    base_share: float
    ndcg_at_10: float


class OtherSeed(Part):
    """A further training with another seed; its model is in `seeds/SEED`."""

    seed: int
    step: int
    dev_ndcg_at_10: float | None


class Training(JsonRecord):
    """The course of a training run. It records no times, so that equal runs produce equal models.

    Attributes:
        steps: Every optimiser step, in order.
        dev: Every measurement, in order; empty without dev questions.
        dev_pool: Number of passages that checkpoints were ranked among in `dev`; None: the whole corpus.
        best: The step that was kept; its nDCG@10 is that of the saved weights, on the whole corpus.
        base_share: Share of the base model's weights in the saved ones.
        shares: nDCG@10 by that share, among the passages that checkpoints were ranked among; empty unless
            weights are merged and there are dev questions.
        rows: Number of rows trained on.
        negatives: Number of mined negatives of a row that were trained on.
        batch_size: Rows per optimiser step.
        device: Name of the device.
        precision: Arithmetic of training and of the measurements on dev.
        attention: The setting `runtime.attention`.
        weights: Format that the saved weights are in.
        seeds: The trainings with other seeds, which only show the spread; empty unless there are `train.seeds`.
        matryoshka: One entry per vector size; empty if the contract has only one or there are no dev questions.
    """

    NAME: ClassVar[str] = "training"
    VERSION: ClassVar[int] = 6
    REMAKE: ClassVar[str] = "embedtune train"

    steps: tuple[TrainingStep, ...]
    dev: tuple[DevPoint, ...]
    dev_pool: int | None
    best: KeptStep
    base_share: float
    shares: tuple[SharePoint, ...]
    rows: int
    negatives: int
    batch_size: int
    device: str
    precision: Literal["fp32", "bf16"]
    attention: str
    weights: Literal["fp32", "bf16", "fp16"]
    seeds: tuple[OtherSeed, ...]
    matryoshka: tuple[SizeComparison, ...]
