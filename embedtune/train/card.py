"""The model card: describes the model, its use and its training. Evaluation figures are added later."""

from pathlib import Path
from string import Template

from embedtune.core.config.train import TrainSettings
from embedtune.core.contract import EncoderContract
from embedtune.train.training_result import Trained

_LOSSES = {
    "own_negatives": "cross-entropy over one positive and the row's own negatives",
    "hybrid": "divergence from how the base model joined with BM25 ranks the passages of the whole batch, and 0.1 "
    "of the cross-entropy over them",
    "in_batch": "cross-entropy over the passages of the whole batch, false negatives masked",
}
_MERGED = Template(
    ", merged with those of the base model, whose share is $share: this keeps more of what the base model knows"
)
_ALIGNED = (
    ". A last module turns all vectors into the space of the base model's, which changes no score: the model's "
    "queries also find passages that still have the base model's vectors"
)
# The first version that honours `is_causal: false`; pyproject.toml requires it too.
_BIDIRECTIONAL = """
Needs transformers 5.2 or later: earlier versions ignore `is_causal: false` in config.json. They load the model
without a warning, but causal, and its vectors are then wrong.
"""


def model_card(
    contract: EncoderContract,
    settings: TrainSettings,
    trained: Trained,
    *,
    bidirectional: bool = False,
) -> str:
    """Return the README of a model directory.

    Args:
        contract: How texts become vectors.
        settings: Hyperparameters.
        trained: The finished run.
        bidirectional: Whether the model is a decoder without the causal mask, which needs a recent transformers.
    """
    lora, plan = settings.lora, trained.plan
    fields = {
        **contract.model_dump(),
        **settings.model_dump(),
        "title": f"{contract.base_model.rpartition('/')[2].removeprefix('package:')}, tuned",
        "revision": f" at revision {contract.revision}" if contract.revision else "",
        "dimensions": " or ".join(str(size) for size in contract.dimensions) + " numbers",
        "requirements": _BIDIRECTIONAL if bidirectional else "",
        "rows": plan.rows,
        "steps": plan.steps,
        "batch_size": plan.batch_size,
        "epochs": f"{plan.epoch(plan.steps):.2f}",
        "best_step": trained.fit.best_step,
        "mined": f", and {settings.negatives} mined passages that do not" if settings.negatives else "",
        "merged": (_MERGED.substitute(share=f"{settings.base_share:.0%}") if settings.base_share else "")
        + (_ALIGNED if settings.align else ""),
        "loss": _LOSSES[settings.loss] + (", for each vector size" if settings.matryoshka else ""),
        "weights": "all" if lora is None else f"adapters of rank {lora.rank} (LoRA), merged",
        "precision": trained.numbers.precision,
        "attention": trained.numbers.attention,
        "stored": trained.numbers.weights,
        "seed": plan.seed,
    }
    return Template((Path(__file__).parent / "model_card.md").read_text(encoding="utf-8")).substitute(fields)
