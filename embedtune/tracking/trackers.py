"""Records trainings in the tools that are configured; a tool that fails is left out and ends no training."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, cast

from embedtune.core.config.config import Config
from embedtune.core.errors import ArtifactError, ConfigError
from embedtune.core.records.base import JsonRecord, read_record, write_record
from embedtune.core.tracking import NoTracking, Tracking
from embedtune.tracking.tool import Opener, Place, ToolRun

log = logging.getLogger(__name__)
STATE_FILE = "tracking.json"  # in the cache directory


@dataclass(frozen=True)
class Tool:
    """A tool: the package it needs, our module and class for it, and variables of which one must be set."""

    package: str
    module: str
    opener: str
    variables: tuple[str, ...] = ()


TOOLS = {
    "tensorboard": Tool("tensorboard", "to_tensorboard", "TensorBoardRun"),
    "mlflow": Tool("mlflow", "to_mlflow", "MlflowRun", ("MLFLOW_TRACKING_URI",)),
    # Without one of these W&B would ask at the terminal, and wait.
    "wandb": Tool("wandb", "to_wandb", "WandbRun", ("WANDB_API_KEY", "WANDB_MODE")),
}


class TrackedRuns(JsonRecord):
    """Where trainings are recorded: by training and tool, the id of the record there."""

    NAME: ClassVar[str] = "tracked-runs"
    VERSION: ClassVar[int] = 1
    REMAKE: ClassVar[str] = "embedtune run"

    runs: dict[str, dict[str, str]]


def open_tracking(config: Config, work: Path, params: Mapping[str, str]) -> Tracking:
    """Return the configured tracking; nothing is imported or sent before a training starts.

    Args:
        config: The configuration; `tracking` counts.
        work: The work directory.
        params: Settings to record with each training.

    Raises:
        ConfigError: A tool is not installed, or not told where to record.
    """
    require_usable(config.tracking.to)
    return Trackers(config.tracking.to, work, params) if config.tracking.to else NoTracking()


def require_usable(names: Sequence[str]) -> None:
    """Check that tools can be used: they are installed, and know where to record.

    Raises:
        ConfigError: A tool is not installed, or not told where to record.
    """
    for name in names:
        _require_one(name)


def _require_one(name: str) -> None:
    tool = TOOLS[name]
    if find_spec(tool.package) is None:
        raise ConfigError(
            f"tracking.to names {name}, which is not installed", fix="pip install 'embedtune[tracking]'"
        )
    if tool.variables and not any(os.environ.get(variable) for variable in tool.variables):
        raise ConfigError(
            f"tracking.to names {name}, but its environment variable is not set",
            expected=" or ".join(tool.variables),
            fix=f"export {tool.variables[0]}=…, or remove {name} from tracking.to",
        )


class Trackers:
    """Records trainings in several tools.

    Args:
        names: The tools.
        work: The work directory; its cache remembers which record belongs to which training.
        params: Settings to record with each new training.
    """

    def __init__(self, names: Sequence[str], work: Path, params: Mapping[str, str]) -> None:
        self._names = list(dict.fromkeys(names))
        self._work = work
        self._params = params

    @contextmanager
    def training(self, name: str, done: int | None) -> Iterator["OpenRuns"]:
        """Open the records of a training; one that continues from a checkpoint continues its records."""
        known = {} if done is None else self._known().get(name, {})
        runs = OpenRuns(self._drop)
        for tool in list(self._names):
            place = Place(name, self._work, known.get(tool), done)
            runs.open(tool, place, {} if tool in known else self._params)
        self._remember(name, {**known, **runs.ids()})
        finished = False
        try:
            yield runs
            finished = True
        finally:
            runs.each(lambda run: run.end(finished=finished))

    def result(self, name: str, verdict: str, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Add the result to the records of a training; a training that was not recorded gets none."""
        known = self._known().get(name, {})
        runs = OpenRuns(self._drop)
        for tool in list(self._names):
            if tool in known:
                runs.open(tool, Place(name, self._work, known[tool], None), {})
            else:
                log.info("tracking: %s has no record of this model's training, so its verdict is not sent", tool)
        runs.each(lambda run: run.result(verdict, figures, files))
        runs.each(lambda run: run.end(finished=True))

    def _drop(self, tool: str, error: Exception) -> None:
        """Say once that a tool fails; nothing more is sent to it."""
        self._names.remove(tool)
        text = str(error).strip().partition("\n")[0]
        log.warning("tracking: %s failed, so nothing more is sent to it: %s: %s", tool, type(error).__name__, text)

    def _known(self) -> dict[str, dict[str, str]]:
        path = self._work / "cache" / STATE_FILE
        try:
            return read_record(path, TrackedRuns).runs if path.is_file() else {}
        except ArtifactError as error:
            log.warning("tracking: earlier records are not continued: %s", error.what)
            return {}

    def _remember(self, name: str, ids: dict[str, str]) -> None:
        path = self._work / "cache" / STATE_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        write_record(draft, TrackedRuns(runs={**self._known(), name: ids}))
        draft.replace(path)


class OpenRuns:
    """The open records of one training.

    Args:
        failed: Called with a tool and its error, once; the tool gets no further call.
    """

    def __init__(self, failed: Callable[[str, Exception], None]) -> None:
        self._runs: dict[str, ToolRun] = {}
        self._failed = failed

    def open(self, tool: str, place: Place, params: Mapping[str, str]) -> None:
        """Open the record in one tool."""
        try:
            module = import_module(f"embedtune.tracking.{TOOLS[tool].module}")
            run = cast(Opener, getattr(module, TOOLS[tool].opener))(place)
            if params:
                run.params(params)
        except Exception as error:  # whatever a tool raises, the training goes on
            self._failed(tool, error)
        else:
            self._runs[tool] = run

    def ids(self) -> dict[str, str]:
        """Return the id of the record in each tool."""
        return {tool: run.id for tool, run in self._runs.items()}

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record the values of an optimiser step."""
        self.each(lambda run: run.scalars(step, values))

    def each(self, action: Callable[[ToolRun], None]) -> None:
        """Do something with the record in each tool that works."""
        for tool, run in list(self._runs.items()):
            try:
                action(run)
            except Exception as error:  # whatever a tool raises, the training goes on
                del self._runs[tool]
                self._failed(tool, error)
