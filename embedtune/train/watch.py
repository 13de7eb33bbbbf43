"""A callback of the trainer: shows progress, and stops a run whose loss is no longer finite."""

import math
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from embedtune.core.errors import GateError
from embedtune.core.progress import Task
from embedtune.core.retrieval.metrics import DECIDING_METRIC
from embedtune.core.tracking import TrackedTraining
from embedtune.train.interruption import Interruption

MEASURED = f"eval_{DECIDING_METRIC}"  # the trainer's name for it
TRACKED = {"loss": "loss", "learning_rate": "learning_rate", MEASURED: "dev/ndcg_at_10"}  # its name: ours


class Watch(TrainerCallback):
    """Reports each optimiser step to a task, and asks for checkpoints between two measurements.

    It inherits because the trainer takes only subclasses of its own callback.

    Args:
        task: Updated once per step.
        tracked: Receives loss, learning rate and measurements.
        checkpoint_steps: Steps between two checkpoints; None: the trainer saves at measurements only.
        interruption: Says whether to stop after this step; None: nothing does.
    """

    def __init__(
        self,
        task: Task,
        tracked: TrackedTraining,
        checkpoint_steps: int | None = None,
        interruption: Interruption | None = None,
    ) -> None:
        self.task = task
        self.tracked = tracked
        self.interruption = interruption or Interruption()
        self.checkpoint_steps = checkpoint_steps

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count the steps that were finished before the run was interrupted."""
        self.task.skip(state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count a step, after asking for its checkpoint."""
        if self.checkpoint_steps is not None and state.global_step % self.checkpoint_steps == 0:
            control.should_save = True
        self.task.advance(1)
        if self.interruption.requested:
            control.should_save = control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the loss of the step, and record it; a measurement is recorded too.

        Raises:
            GateError: The loss or the gradient is not finite.
        """
        if logs is None or not ("loss" in logs or MEASURED in logs):
            return
        values = {ours: logs[name] for name, ours in TRACKED.items() if name in logs}
        if "loss" not in logs:
            self.tracked.scalars(state.global_step, values)
            return
        if not (math.isfinite(logs["loss"]) and math.isfinite(logs.get("grad_norm", 0.0))):
            raise GateError(
                f"training diverged at step {state.global_step} with learning rate {logs['learning_rate']:.3g}",
                got=f"loss {logs['loss']}, gradient norm {logs.get('grad_norm')}",
                expected="finite numbers",
                fix="lower train.learning_rate, or set runtime.precision=fp32",
            )
        self.tracked.scalars(state.global_step, values)
        # The trainer logs a step, and then measures the model on dev, which may take longer than many steps.
        self.task.note(f"loss {logs['loss']:.4f}{', measuring on dev' if control.should_evaluate else ''}")
