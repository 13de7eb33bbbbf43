"""Sentence-transformers' trainer, extended so that it can resume from a checkpoint of adapters."""

from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformerTrainer
from torch import nn

from embedtune.train.model import restore_dense


class Trainer(SentenceTransformerTrainer):
    """Overrides one hook: the library loads adapters through transformers, which refuses PEFT below 0.22."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        adapters = Path(resume_from_checkpoint) / "adapter_model.safetensors"
        if not adapters.is_file():
            super()._load_from_checkpoint(resume_from_checkpoint)
            return
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        transformer: Any = self.model[0]
        set_peft_model_state_dict(transformer.model, load_file(adapters))
        restore_dense(self.model, adapters.parent)
