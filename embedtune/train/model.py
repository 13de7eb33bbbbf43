"""Prepares the model for training and restores it afterwards: adapters, merging, format of the saved weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedtune.core.config.config import Config
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.config.train import LoraSettings, TrainSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.precision import Dtype, device_of, torch_dtype, weights_dtype
from embedtune.core.encoders.pytorch import load_dense, load_model
from embedtune.core.errors import GateError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def trainable_model(base: Path, config: Config, seed: int) -> "SentenceTransformer":
    """Load the base model for training: float32 weights, with fresh adapters if LoRA is configured.

    Weights are float32 even if the arithmetic or the base model's weights are bf16 (core/encoders/precision.py).

    Args:
        base: Directory of the base model.
        config: Contract, device, adapters and gradient checkpointing.
        seed: Of the adapters, which start at random.

    Raises:
        ContractError: The model does not fit the contract.
    """
    model = load_model(base, config.contract, config.runtime)
    # sentence-transformers writes a model card into each checkpoint. It must not ask the hub about the base model,
    # and unless there are examples, it computes some and shows its own progress bar.
    model.model_card_data.local_files_only = True
    model.model_card_data.widget = [{"text": "unused"}]
    if uses_gradient_checkpointing(config.train, config.runtime):
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if config.train.lora is not None:
        _add_adapters(model, config.train.lora, seed)
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
    """Load a checkpoint as a plain model in float32: adapters are merged into the weights of the base model.

    Adapters are for the transformer. Dense modules are small: they are trained as a whole in any case.

    Args:
        checkpoint: A checkpoint of the trainer.
        base: The model that training started from.
        lora: None if all weights were trained.
        contract: Pooling and maximum length.
        runtime: Device, precision and attention.
    """
    if lora is None:
        return load_model(checkpoint, contract, runtime)
    from peft import PeftModel

    model = load_model(base, contract, runtime)
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


def saved_dtype(base: Path, settings: TrainSettings) -> Dtype:
    """Return the format to save the weights in.

    Args:
        base: Directory of the base model.
        settings: `save_dtype`.

    Raises:
        InputError: The weights of the base model are damaged.
    """
    return weights_dtype(base) if settings.save_dtype == "base" else settings.save_dtype


def save_model(model: "SentenceTransformer", dtype: Dtype, path: Path) -> None:
    """Write a model with its weights rounded to a number format; the model itself must not be used afterwards.

    Args:
        model: A model of float32 weights.
        dtype: The format.
        path: Directory to write to.

    Raises:
        GateError: A weight is too large for the format.
    """
    target = torch_dtype(dtype)
    # Parameters only: buffers that are not saved hold rotary frequencies, and those that are hold integers.
    for name, weight in model.named_parameters():
        rounded = weight.data.to(target)
        if not bool(rounded.isfinite().all()):
            raise GateError(
                "a weight of the tuned model is too large for the format to save it in",
                got=f"{name}: up to {float(weight.data.abs().max()):.3g} in {dtype}",
                expected="finite weights",
                fix="set train.save_dtype=bf16, which has the range of fp32, or fp32",
            )
        weight.data = rounded
    model.save_pretrained(str(path), create_model_card=False)


def uses_gradient_checkpointing(settings: TrainSettings, runtime: RuntimeSettings) -> bool:
    """Return whether the backward pass recomputes layers: if the settings ask for it, or by default on a GPU."""
    if settings.gradient_checkpointing != "auto":
        return settings.gradient_checkpointing == "on"
    return device_of(runtime) == "cuda"
