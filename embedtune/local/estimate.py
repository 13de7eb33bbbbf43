"""What a run would cost, before anything is spent: counted where it can be, measured where it must be."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from embedtune.core.config.config import Config
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.pytorch import TorchEncoder, device_of
from embedtune.core.progress import Progress, SilentProgress
from embedtune.generate.estimate import estimate_calls
from embedtune.local.runner import Job, run
from embedtune.train.plan import plan_training
from embedtune.train.probe import measure_step_seconds

# Share of written questions that survive judge and filters: 61 % on NVIDIA's documentation, 75 % on the handbook
# (docs/experiments.md); the lower one.
KEPT_SHARE = 0.6
PROBE_PASSAGES = 64
# generate, mine and evaluate embed with the base (once, thanks to the cache), evaluate again with the tuned model.
EMBED_PASSES = 2


@dataclass(frozen=True)
class RunEstimate:
    """The expected cost of a run; times hold for this machine."""

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
        """Return label and value of each line that a person reads."""
        return (
            ("documents", f"{self.documents:,}"),
            ("chunks", f"{self.chunks:,}"),
            ("words", f"{self.words:,}"),
            ("LLM calls", f"{self.llm_calls:,}"),
            ("prompt tokens (counted on a sample)", f"{self.prompt_tokens:,}"),
            ("completion tokens (at an assumed length)", f"{self.completion_tokens:,}"),
            ("price at the given rates", self._price()),
            (f"train rows ({KEPT_SHARE:.0%} of the questions kept)", f"{self.train_rows:,}"),
            ("train steps", f"{self.train_steps:,}"),
            (f"training on {self.device} (probed)", _minutes(self.train_seconds)),
            (f"embedding on {self.device} (probed)", _minutes(self.embed_seconds)),
        )

    def _price(self) -> str:
        if self.cost_usd or not self.llm_calls:
            return f"{self.cost_usd:.2f} USD"
        return "no rates: set generate.llm.price_in and price_out"


def estimate_run(job: Job, progress: Progress) -> RunEstimate:
    """Ingest the documents, then count and measure; calls no endpoint.

    Args:
        job: A job whose last stage is ingest.
        progress: Where ingest reports.
    """
    run(job, progress, before=lambda stage, progress: None, after=lambda report: None)
    config = job.config
    cache = job.work / "cache"
    calls = estimate_calls(job.work / "chunks", config, job.secrets, cache)
    chunks = pq.read_table(job.work / "chunks" / "chunks.parquet", columns=["chunk_id", "text", "n_words"])
    unique = len(set(chunks["chunk_id"].to_pylist()))
    rows = round(calls.questions * KEPT_SHARE * config.ingest.train_share)
    base = resolve_base(config.contract, cache, config.storage, job.secrets)
    step_seconds = measure_step_seconds(base, config, max(rows, 1))
    steps = plan_training(max(rows, 1), config.train, config.seed).steps
    embed = _seconds_a_passage(base, config, chunks["text"].to_pylist()) * unique * EMBED_PASSES
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
        embed_seconds=embed,
        device=device_of(config.runtime),
    )


def _seconds_a_passage(base: Path, config: Config, texts: list[str]) -> float:
    encoder = TorchEncoder(base, config.contract, config.runtime)
    sample = texts[:: max(1, len(texts) // PROBE_PASSAGES)][:PROBE_PASSAGES]
    encoder.encode_passages(sample[:4], SilentProgress())  # loads the model; not what is measured
    began = time.perf_counter()
    encoder.encode_passages(sample, SilentProgress())
    return (time.perf_counter() - began) / len(sample)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
