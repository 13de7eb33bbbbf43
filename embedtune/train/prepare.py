"""The model on its way into training and out of it: precision, adapters, merging."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedtune.core.config.config import Config
from embedtune.core.config.train import LoraSettings
from embedtune.core.encoders.pytorch import device_of, load_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def trainable_model(base: Path, config: Config) -> "SentenceTransformer":
    """Load the base model for training: float32 weights, with fresh adapters if LoRA is configured.

    Weights stay in float32 also when the arithmetic is bf16: an update of 1e-5 vanishes in a bf16 weight.

    Raises:
        ContractError: The model cannot do what the contract says.
    """
    model = load_model(base, config.contract, config.runtime).float()
    # Checkpoints carry a model card of sentence-transformers; it must not ask the hub about the base.
    model.model_card_data.local_files_only = True
    # Nor compute examples for it, with a progress bar of its own: it does so only where there are none.
    model.model_card_data.widget = [{"text": "unused"}]
    if uses_gradient_checkpointing(config):
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if config.train.lora is not None:
        _add_adapters(model, config.train.lora, config.seed)
    return model


def _add_adapters(model: "SentenceTransformer", lora: LoraSettings, seed: int) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    set_seed(seed)  # adapters start at random
    adapters = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type="FEATURE_EXTRACTION",
    )
    transformer: Any = model[0]
    transformer.model = get_peft_model(transformer.model, adapters)


def trained_model(checkpoint: Path, base: Path, config: Config) -> "SentenceTransformer":
    """Load a checkpoint as a plain model: adapters are merged into the base's weights.

    Args:
        checkpoint: A checkpoint of the trainer.
        base: The model that training started from.
        config: Contract, device, and whether adapters were trained.
    """
    if config.train.lora is None:
        return load_model(checkpoint, config.contract, config.runtime)
    from peft import PeftModel

    model = load_model(base, config.contract, config.runtime).float()
    transformer: Any = model[0]
    transformer.model = PeftModel.from_pretrained(transformer.model, str(checkpoint)).merge_and_unload()
    return model


def uses_bf16(config: Config) -> bool:
    """Tell whether to compute in bf16: if it is asked for, or on a GPU that can."""
    import torch

    if config.train.precision != "auto":
        return config.train.precision == "bf16"
    return device_of(config.runtime) == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def uses_gradient_checkpointing(config: Config) -> bool:
    """Tell whether layers are recomputed in the backward pass: if it is asked for, or on a GPU."""
    if config.train.gradient_checkpointing != "auto":
        return config.train.gradient_checkpointing == "on"
    return device_of(config.runtime) == "cuda"
