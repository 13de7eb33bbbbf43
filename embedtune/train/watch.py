"""A callback of the trainer: shows progress, and stops a run whose loss is no longer finite."""

import math
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from embedtune.core.errors import GateError
from embedtune.core.progress import Task


class Watch(TrainerCallback):
    """Reports each optimiser step to a task.

    It inherits because the trainer takes only subclasses of its own callback.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count the steps that were finished before the run was interrupted."""
        self.task.advance(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count a step."""
        self.task.advance(1)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the loss of the step.

        Raises:
            GateError: The loss or the gradient is not finite.
        """
        if logs is None or "loss" not in logs:
            return
        if not (math.isfinite(logs["loss"]) and math.isfinite(logs.get("grad_norm", 0.0))):
            raise GateError(
                f"training diverged at step {state.global_step} with learning rate {logs['learning_rate']:.3g}",
                got=f"loss {logs['loss']}, gradient norm {logs.get('grad_norm')}",
                expected="finite numbers",
                fix="lower train.learning_rate, or set runtime.precision=fp32",
            )
        self.task.note(f"loss {logs['loss']:.4f}")
