r"""embedtune: from a folder of documents to a tuned, honestly evaluated embedding model.

The names in `__all__` are the public API, the part that stays stable from version to version. Everything else is
internal and may change at any time. A name is imported when it is first used, so `import embedtune` is instant.

Tune a model on the documents in `docs`, as `embedtune run` does:

    from pathlib import Path

    import embedtune

    work = Path("work")
    config = embedtune.load_config("embedtune.yaml")
    for report in embedtune.run("docs", work, config):
        print(report.stage, report.metrics)
    verdict = embedtune.read_record(work / "evaluation" / "verdict.json", embedtune.VerdictRecord)
    print(verdict.verdict, verdict.delta)

Embed queries and passages with the tuned model:

    model = embedtune.open_model(work / "model")
    queries = model.encode_queries(["How do I replace the seal of the pump?"])
    passages = model.encode_passages(["Pump > Seals\nClose the valve, then replace the seal."])
    print(queries @ passages.T)

Run a single stage, here with another output directory, and read what it wrote:

    context = embedtune.open_context(work, config)
    embedtune.run_mine(work / "dataset", Path("triplets"), context)
    print(embedtune.read_artifact(Path("triplets"), "triplets").manifest.counts)
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from embedtune.api import Model, open_context, open_model, run
    from embedtune.core.artifacts import Artifact, Manifest, StageReport, read_artifact, read_manifest
    from embedtune.core.comparisons import Comparisons
    from embedtune.core.config.config import Config
    from embedtune.core.config.load import load_config
    from embedtune.core.config.machine import RuntimeSettings
    from embedtune.core.contract import EncoderContract
    from embedtune.core.errors import (
        ArtifactError,
        ConfigError,
        ContractError,
        EmbedtuneError,
        EndpointError,
        GateError,
        InputError,
        LLMEndpointError,
    )
    from embedtune.core.progress import LineProgress, Progress, SilentProgress
    from embedtune.core.records.audit import Audit
    from embedtune.core.records.base import read_record
    from embedtune.core.records.deployment import Deployment, EndpointDrift, ReindexPlan
    from embedtune.core.records.engine import Engine, Parity
    from embedtune.core.records.evaluation import Examples, Interval, Slices, Verdict, VerdictRecord
    from embedtune.core.records.metrics import Metrics
    from embedtune.core.records.split import SplitProofs
    from embedtune.core.records.training import Training
    from embedtune.core.secrets import Secrets
    from embedtune.core.stage import Context
    from embedtune.deploy.stage import run as run_deploy
    from embedtune.evaluate.stage import run as run_evaluate
    from embedtune.export.stage import run as run_export
    from embedtune.generate.stage import run as run_generate
    from embedtune.ingest.stage import run as run_ingest
    from embedtune.mine.stage import run as run_mine
    from embedtune.report.page import render_report
    from embedtune.split.labelled import import_labelled
    from embedtune.split.stage import run as run_split
    from embedtune.train.stage import run as run_train

__all__ = [
    "Artifact",
    "ArtifactError",
    "Audit",
    "Comparisons",
    "Config",
    "ConfigError",
    "Context",
    "ContractError",
    "Deployment",
    "EmbedtuneError",
    "EncoderContract",
    "EndpointDrift",
    "EndpointError",
    "Engine",
    "Examples",
    "GateError",
    "InputError",
    "Interval",
    "LLMEndpointError",
    "LineProgress",
    "Manifest",
    "Metrics",
    "Model",
    "Parity",
    "Progress",
    "ReindexPlan",
    "RuntimeSettings",
    "Secrets",
    "SilentProgress",
    "Slices",
    "SplitProofs",
    "StageReport",
    "Training",
    "Verdict",
    "VerdictRecord",
    "import_labelled",
    "load_config",
    "open_context",
    "open_model",
    "read_artifact",
    "read_manifest",
    "read_record",
    "render_report",
    "run",
    "run_deploy",
    "run_evaluate",
    "run_export",
    "run_generate",
    "run_ingest",
    "run_mine",
    "run_split",
    "run_train",
]

# The module of each public name; `module:name` if its name there is different.
_HOMES = {
    "Artifact": "embedtune.core.artifacts",
    "ArtifactError": "embedtune.core.errors",
    "Audit": "embedtune.core.records.audit",
    "Comparisons": "embedtune.core.comparisons",
    "Config": "embedtune.core.config.config",
    "ConfigError": "embedtune.core.errors",
    "Context": "embedtune.core.stage",
    "ContractError": "embedtune.core.errors",
    "Deployment": "embedtune.core.records.deployment",
    "EmbedtuneError": "embedtune.core.errors",
    "EncoderContract": "embedtune.core.contract",
    "EndpointDrift": "embedtune.core.records.deployment",
    "EndpointError": "embedtune.core.errors",
    "Engine": "embedtune.core.records.engine",
    "Examples": "embedtune.core.records.evaluation",
    "GateError": "embedtune.core.errors",
    "InputError": "embedtune.core.errors",
    "Interval": "embedtune.core.records.evaluation",
    "LLMEndpointError": "embedtune.core.errors",
    "LineProgress": "embedtune.core.progress",
    "Manifest": "embedtune.core.artifacts",
    "Metrics": "embedtune.core.records.metrics",
    "Model": "embedtune.api",
    "Parity": "embedtune.core.records.engine",
    "Progress": "embedtune.core.progress",
    "ReindexPlan": "embedtune.core.records.deployment",
    "RuntimeSettings": "embedtune.core.config.machine",
    "Secrets": "embedtune.core.secrets",
    "SilentProgress": "embedtune.core.progress",
    "Slices": "embedtune.core.records.evaluation",
    "SplitProofs": "embedtune.core.records.split",
    "StageReport": "embedtune.core.artifacts",
    "Training": "embedtune.core.records.training",
    "Verdict": "embedtune.core.records.evaluation",
    "VerdictRecord": "embedtune.core.records.evaluation",
    "import_labelled": "embedtune.split.labelled",
    "load_config": "embedtune.core.config.load",
    "open_context": "embedtune.api",
    "open_model": "embedtune.api",
    "read_artifact": "embedtune.core.artifacts",
    "read_manifest": "embedtune.core.artifacts",
    "read_record": "embedtune.core.records.base",
    "render_report": "embedtune.report.page",
    "run": "embedtune.api",
    "run_deploy": "embedtune.deploy.stage:run",
    "run_evaluate": "embedtune.evaluate.stage:run",
    "run_export": "embedtune.export.stage:run",
    "run_generate": "embedtune.generate.stage:run",
    "run_ingest": "embedtune.ingest.stage:run",
    "run_mine": "embedtune.mine.stage:run",
    "run_split": "embedtune.split.stage:run",
    "run_train": "embedtune.train.stage:run",
}


if not TYPE_CHECKING:  # a type checker that saw this function would accept any name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, _, other_name = _HOMES[name].partition(":")
        try:
            value = globals()[name] = getattr(import_module(module), other_name or name)
        except ModuleNotFoundError as error:
            from embedtune.core.extras import missing_module

            if (known := missing_module(error)) is None:
                raise
            raise known from error
        return value


def __dir__() -> list[str]:
    """Return the public names, for completion in notebooks."""
    return sorted([*__all__, "__version__"])
