"""Estimates the cost of a run before anything is spent: counted where possible, otherwise measured or assumed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.contract import EncoderContract
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.precision import device_of
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.formatting import duration
from embedtune.core.progress import Progress, SilentProgress
from embedtune.generate.estimate import estimate_calls
from embedtune.local.runner import Job, run
from embedtune.train.plan import plan_training
from embedtune.train.probe import measure_step_seconds

# Share of the written questions that judge and filters keep: 61 % on NVIDIA's documentation, 75 % on the handbook
# (docs/experiments.md); this is the lower one.
KEPT_SHARE = 0.6
PROBE_PASSAGES = 64
# Once with the base model, whose vectors are cached for all stages, and once with the tuned model in evaluate.
EMBED_PASSES = 2


@dataclass(frozen=True)
class RunEstimate:
    """The expected cost of a run; times are for this machine."""

    documents: int
    chunks: int
    words: int
    llm_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    train_rows: int
    train_steps: int
    seconds_per_step: float
    train_seconds: float
    embed_seconds: float
    device: str

    def rows(self) -> Sequence[tuple[str, str]]:
        """Return the lines to show, each with a label and a value."""
        return (
            ("documents", f"{self.documents:,}"),
            ("chunks", f"{self.chunks:,}"),
            ("words", f"{self.words:,}"),
            ("LLM calls", f"{self.llm_calls:,}"),
            ("prompt tokens (counted on a sample)", f"{self.prompt_tokens:,}"),
            ("completion tokens (assumed length)", f"{self.completion_tokens:,}"),
            ("price of the LLM calls", self._price()),
            (f"train rows ({KEPT_SHARE:.0%} of the questions kept)", f"{self.train_rows:,}"),
            ("train steps", f"{self.train_steps:,}"),
            (f"training on {self.device} (measured)", duration(self.train_seconds)),
            (f"embedding on {self.device} (measured)", duration(self.embed_seconds)),
        )

    def _price(self) -> str:
        if self.cost_usd or not self.llm_calls:
            return f"{self.cost_usd:.2f} USD"
        return "unknown: set generate.llm.price_in and generate.llm.price_out"


def estimate_run(job: Job, progress: Progress) -> RunEstimate:
    """Ingest the documents, then count and measure; no LLM is called.

    Args:
        job: A job whose last stage is ingest.
        progress: Where ingest reports its progress.
    """
    run(job, progress)
    config = job.config
    cache = job.work / "cache"
    calls = estimate_calls(job.work / "chunks", config, job.secrets, cache)
    chunks = pq.read_table(job.work / "chunks" / "chunks.parquet", columns=["chunk_id", "text", "n_words"])
    unique = len(set(chunks["chunk_id"].to_pylist()))
    rows = round(calls.questions * KEPT_SHARE * config.ingest.train_share)
    base = resolve_base(config.contract, config.base, cache, config.storage, job.secrets)
    step_seconds = measure_step_seconds(base, config, max(rows, 1))
    steps = plan_training(max(rows, 1), config.train, config.seed).steps
    passage_seconds = _seconds_per_passage(base, config.contract, config.runtime, chunks["text"].to_pylist())
    return RunEstimate(
        documents=len(pq.read_table(job.work / "chunks" / "documents.parquet", columns=["doc_id"])),
        chunks=unique,
        words=sum(chunks["n_words"].to_pylist()),
        llm_calls=calls.calls,
        prompt_tokens=calls.prompt_tokens,
        completion_tokens=calls.completion_tokens,
        cost_usd=calls.cost_usd,
        train_rows=rows,
        train_steps=steps,
        seconds_per_step=step_seconds,
        train_seconds=step_seconds * steps,
        embed_seconds=passage_seconds * unique * EMBED_PASSES,
        device=device_of(config.runtime),
    )


def _seconds_per_passage(
    base: Path, contract: EncoderContract, runtime: RuntimeSettings, texts: list[str]
) -> float:
    encoder = TorchEncoder(base, contract, runtime)
    sample = texts[:: max(1, len(texts) // PROBE_PASSAGES)][:PROBE_PASSAGES]
    encoder.encode_passages(sample[:4], SilentProgress())  # loads the model, which is not measured
    began = time.perf_counter()
    encoder.encode_passages(sample, SilentProgress())
    return (time.perf_counter() - began) / len(sample)
