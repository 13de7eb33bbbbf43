"""The functions of the public API that only notebooks and scripts need; the command line has its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.artifacts import MANIFEST, StageReport, read_artifact
from embedtune.core.comparisons import Comparisons
from embedtune.core.config.config import Config
from embedtune.core.config.load import load_config
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract, load_contract
from embedtune.core.encoders.encoder import Encoder
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.encoders.vector_cache import Vectors
from embedtune.core.progress import LineProgress, Progress, SilentProgress
from embedtune.core.secrets import secrets_of
from embedtune.core.stage import STAGE_NAMES, Context
from embedtune.local import runner
from embedtune.local.environment import apply_environment
from embedtune.local.track import track_result
from embedtune.report.page import render_report


@dataclass(frozen=True)
class Model:
    """An embedding model, ready to use.

    Args:
        path: Directory of the model.
        contract: Prefixes, pooling, maximum length and dimensions of the model.
        encoder: The encoder that computes the vectors.
    """

    path: Path
    contract: EncoderContract
    encoder: Encoder

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one vector of unit length per query; the query prefix is added here."""
        return self.encoder.encode_queries(texts, SilentProgress())

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        """Return one vector of unit length per passage; the passage prefix is added here.

        Args:
            texts: Passages with their heading path on the first line, as `corpus.jsonl` contains them
                (`contract.render_passage` adds it).
        """
        return self.encoder.encode_passages(texts, SilentProgress())


def open_model(path: str | Path, runtime: RuntimeSettings | None = None) -> Model:
    """Open a tuned model.

    Args:
        path: The model artifact that `train` wrote, or a copy of its files.
        runtime: Device and batch size; by default the GPU if there is one. See `Config.runtime`.

    Raises:
        ContractError: The directory contains no encoder contract.
        ArtifactError: A file was changed after it was written.
    """
    folder = Path(path)
    contract = load_contract(folder)
    if (folder / MANIFEST).is_file():
        read_artifact(folder, "model")
    return Model(folder, contract, TorchEncoder(folder, contract, runtime or RuntimeSettings()))


def open_context(
    work: str | Path, config: Config | str | Path = "minilm", progress: Progress | None = None
) -> Context:
    """Return the context that a stage runs with, including the credentials from environment variables.

    Args:
        work: Work directory; LLM replies, vectors and checkpoints are cached in it.
        config: A configuration, the name of a preset, or the path of a YAML file.
        progress: Receives the progress; by default it is logged.
    """
    loaded = config if isinstance(config, Config) else load_config(config)
    complete = apply_environment(loaded, os.environ)
    secrets = secrets_of(complete.generate, os.environ)
    return Context(complete, secrets, progress or LineProgress(), Path(work) / "cache")


def run(
    documents: str | Path | None,
    work: str | Path,
    config: Config | str | Path = "minilm",
    *,
    first: str = STAGE_NAMES[0],
    last: str = runner.LAST,
    dataset: str | Path | None = None,
    comparisons: Comparisons | None = None,
    progress: Progress | None = None,
) -> list[StageReport]:
    """Run the pipeline on this machine, as `embedtune run` does, and render the report.

    Stages that are up to date are skipped, and an interrupted run resumes. The function never asks before it pays
    for LLM calls: `generate.max_cost` in the configuration limits the cost.

    Args:
        documents: A folder or s3://bucket/prefix; None if the run starts after ingest.
        work: Directory for artifacts, cache and report.
        config: A configuration, the name of a preset, or the path of a YAML file.
        first: First stage to run.
        last: Last stage to run.
        dataset: Your own labelled data in BEIR format, with `first="mine"`.
        comparisons: Additional evaluation sets and models to compare with.
        progress: Receives the progress; by default it is logged.

    Returns:
        The report of each stage, in order.

    Raises:
        EmbedtuneError: The subclass says what kind of error it is, the message what to do about it.
    """
    context = open_context(work, config, progress)
    job = runner.Job(
        work=Path(work),
        config=context.config,
        secrets=context.secrets,
        source=None if documents is None else str(documents),
        dataset=None if dataset is None else Path(dataset),
        first=first,
        last=last,
        comparisons=comparisons or Comparisons(),
    )
    reports = runner.run(job, context.progress)
    track_result(job, render_report(job.work))
    return reports
