"""MLflow: a run per training on the server that MLFLOW_TRACKING_URI names."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from embedtune.tracking.tool import Place

PARAMS_AT_ONCE = 100  # MLflow's limit per request
LONGEST_PARAM = 6000  # characters, MLflow's limit
METRICS_AT_ONCE = 1000  # MLflow's limit per request
SEND_EVERY_S = 2.0  # a training of many steps per second does not wait for a request after each


class MlflowRun:
    """A run of MLflow.

    Args:
        place: The training.
    """

    def __init__(self, place: Place) -> None:
        # At the end of a run the client prints its address to stdout, which belongs to `--json`.
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        self._client = MlflowClient()
        self._continues = place.id is not None
        self._last: dict[str, int] = {}
        self._unsent: list[Metric] = []
        self._sent_at = time.monotonic()
        if place.id is None:
            run = self._client.create_run(self._experiment(), run_name=place.title)
            self.id: str = run.info.run_id
        else:
            self.id = place.id
            self._client.update_run(self.id, status="RUNNING")

    def params(self, values: Mapping[str, str]) -> None:
        """Record the settings."""
        entries = [Param(name, value[:LONGEST_PARAM]) for name, value in values.items()]
        for start in range(0, len(entries), PARAMS_AT_ONCE):
            self._client.log_batch(self.id, params=entries[start : start + PARAMS_AT_ONCE])

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record values, except those that the training recorded before it was interrupted."""
        now = int(time.time() * 1000)
        new = [Metric(name, value, now, step) for name, value in values.items() if step > self._before(name)]
        self._unsent += new
        if time.monotonic() - self._sent_at >= SEND_EVERY_S:
            self._send()

    def result(self, verdict: str, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Set the tag `verdict`, and record figures and files."""
        self._client.set_tag(self.id, "verdict", verdict)
        now = int(time.time() * 1000)
        self._unsent += [Metric(name, value, now, 0) for name, value in figures.items()]
        self._send()
        for file in files:
            self._client.log_artifact(self.id, str(file))

    def end(self, *, finished: bool) -> None:
        """Send what is left and set the status."""
        self._send()
        self._client.set_terminated(self.id, "FINISHED" if finished else "KILLED")

    def _send(self) -> None:
        while self._unsent:
            self._client.log_batch(self.id, metrics=self._unsent[:METRICS_AT_ONCE])
            del self._unsent[:METRICS_AT_ONCE]
        self._sent_at = time.monotonic()

    def _before(self, name: str) -> int:
        """Return the last step at which an interrupted training recorded a value; -1: none."""
        if not self._continues:
            return -1
        if name not in self._last:
            history = self._client.get_metric_history(self.id, name)
            self._last[name] = max((one.step for one in history), default=-1)
        return self._last[name]

    def _experiment(self) -> str:
        if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return given
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "embedtune")
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))
