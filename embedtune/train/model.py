"""Prepares the model for training and restores it afterwards: precision, adapters, merging."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedtune.core.config.config import Config
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.config.train import LoraSettings, TrainSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.pytorch import device_of, load_dense, load_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def trainable_model(base: Path, config: Config) -> "SentenceTransformer":
    """Load the base model for training: float32 weights, with fresh adapters if LoRA is configured.

    Weights stay in float32 even if the arithmetic is bf16: an update of 1e-5 vanishes in a bf16 weight.

    Args:
        base: Directory of the base model.
        config: Contract, device, adapters, gradient checkpointing and seed.

    Raises:
        ContractError: The model does not fit the contract.
    """
    model = load_model(base, config.contract, config.runtime).float()
    # sentence-transformers writes a model card into each checkpoint. It must not ask the hub about the base model,
    # and unless there are examples, it computes some and shows its own progress bar.
    model.model_card_data.local_files_only = True
    model.model_card_data.widget = [{"text": "unused"}]
    if uses_gradient_checkpointing(config.train, config.runtime):
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


def trained_model(
    checkpoint: Path, base: Path, lora: LoraSettings | None, contract: EncoderContract, runtime: RuntimeSettings
) -> "SentenceTransformer":
    """Load a checkpoint as a plain model: adapters are merged into the weights of the base model.

    Adapters are for the transformer. Dense modules are small: they are trained as a whole in any case.

    Args:
        checkpoint: A checkpoint of the trainer.
        base: The model that training started from.
        lora: None if all weights were trained.
        contract: Pooling and maximum length.
        runtime: The device.
    """
    if lora is None:
        return load_model(checkpoint, contract, runtime)
    from peft import PeftModel

    model = load_model(base, contract, runtime).float()
    transformer: Any = model[0]
    transformer.model = PeftModel.from_pretrained(transformer.model, str(checkpoint)).merge_and_unload()
    restore_dense(model, checkpoint)
    return model


def restore_dense(model: "SentenceTransformer", checkpoint: Path) -> None:
    """Give a model the Dense modules of a checkpoint, which adapters do not contain."""
    from sentence_transformers.sentence_transformer.modules import Dense

    own = [module for module in model if isinstance(module, Dense)]
    for module, trained in zip(own, load_dense(checkpoint), strict=True):
        module.load_state_dict(trained.state_dict())


def uses_bf16(settings: TrainSettings, runtime: RuntimeSettings) -> bool:
    """Return whether to compute in bf16: if the settings ask for it, or by default on a GPU that supports it."""
    import torch

    if settings.precision != "auto":
        return settings.precision == "bf16"
    return device_of(runtime) == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def uses_gradient_checkpointing(settings: TrainSettings, runtime: RuntimeSettings) -> bool:
    """Return whether the backward pass recomputes layers: if the settings ask for it, or by default on a GPU."""
    if settings.gradient_checkpointing != "auto":
        return settings.gradient_checkpointing == "on"
    return device_of(runtime) == "cuda"
