"""A tiny model artifact and its dataset, for tests that run the export stage."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedtune.core.artifacts import StageReport, write_artifact
from embedtune.core.config.config import Config
from embedtune.core.config.load import parse_config
from embedtune.core.encoders.precision import Dtype
from embedtune.core.encoders.pytorch import load_model
from embedtune.core.stage import stage_provenance
from embedtune.export.stage import run
from embedtune.train.model import save_model
from tests.support.context import context
from tests.support.tiny_model import tiny_contract
from tests.support.training_world import make_world


@dataclass(frozen=True)
class ExportCase:
    """The inputs of the stage.

    Args:
        root: Directory for outputs and the cache.
        model: The model artifact.
        dataset: The dataset artifact.
        settings: The configuration without the section `export`.
    """

    root: Path
    model: Path
    dataset: Path
    settings: dict[str, Any]

    def config(self, **export: Any) -> Config:
        return parse_config(self.settings | {"export": export})

    def run(self, name: str = "engine", **export: Any) -> StageReport:
        """Run the stage into `root / name`."""
        inputs = (self.model, self.dataset, self.root / name)
        return run(*inputs, context(self.config(**export), self.root / "cache"))


def make_export_case(root: Path, dtype: Dtype = "fp32", precision: str = "auto") -> ExportCase:
    """Write a random model, as train writes it, and a dataset of 48 passages with 6 dev questions.

    Args:
        root: Directory for all of it.
        dtype: Format of the weights.
        precision: `runtime.precision`.
    """
    world = make_world(root / "world")
    contract = tiny_contract(world.base, (32, 16))
    settings = {"contract": contract.model_dump(), "runtime": {"device": "cpu", "precision": precision}}
    config = parse_config(settings)
    with write_artifact(root / "model", "model", stage_provenance("train", config, {})) as draft:
        save_model(load_model(world.base, contract, config.runtime), dtype, draft.path)
        contract.save(draft.path)
        (draft.path / "training.json").write_text("{}")
    return ExportCase(root, root / "model", world.dataset, settings)
