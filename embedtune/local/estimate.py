"""Estimates the cost of a run before anything is spent: counted where possible, otherwise measured or assumed."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq

from embedtune.core.artifacts import read_manifest
from embedtune.core.comparisons import Comparisons
from embedtune.core.config.config import Config
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.precision import device_of
from embedtune.core.encoders.speed import seconds_per_passage
from embedtune.core.formatting import duration
from embedtune.core.progress import Progress
from embedtune.core.records.training import SHARES
from embedtune.generate.estimate import estimate_calls
from embedtune.local.runner import Job, run
from embedtune.train.plan import plan_training
from embedtune.train.probe import measure_step_seconds

# Share of the written questions that judge and filters keep: 61 % on NVIDIA's documentation, 75 % on the handbook
# (docs/experiments.md); this is the lower one.
KEPT_SHARE = 0.6
QUERY_SHARE = 0.1  # a question has about a tenth of the tokens of a passage, and so of its time


@dataclass(frozen=True)
class EncodingPass:
    """Texts that are embedded; those of the base model once, since its vectors are cached for all stages."""

    what: str
    passages: int
    questions: int

    @property
    def as_passages(self) -> float:
        """The passages that take as long."""
        return self.passages + QUERY_SHARE * self.questions


def encoding_passes(config: Config, chunks: int, questions: int, comparisons: Comparisons) -> list[EncodingPass]:
    """Return what a run embeds, up to its evaluation.

    Args:
        config: The splits, and how often the model is measured on dev.
        chunks: Number of passages.
        questions: Number of questions that are written; `KEPT_SHARE` of them are kept.
        comparisons: Additional evaluation sets and models to compare with.
    """
    kept = questions * KEPT_SHARE
    dev, test = (round(kept * share) for share in (config.ingest.dev_share, config.ingest.test_share))
    seeds = config.train.seeds
    measured = max(1, round(config.train.epochs * config.train.evaluations_per_epoch)) * seeds
    share = config.train.base_share
    measured += len({*SHARES, share}) if share else 0
    ranked = min(chunks, config.train.dev_passages)
    again = int(len(config.contract.dimensions) > 1 or ranked < chunks)  # at every size, on all passages
    passes = [
        EncodingPass("base model: all passages, all questions", chunks, questions),
        EncodingPass(
            f"training: dev is measured {measured + again} time{'s' if measured + again > 1 else ''}",
            measured * ranked + again * chunks,
            (measured + again) * dev,
        ),
        EncodingPass("tuned model in evaluate", chunks, test),
    ]
    if seeds > 1:
        passes.append(EncodingPass("other seeds in evaluate", chunks * (seeds - 1), test * (seeds - 1)))
    if comparisons.champion is not None:
        passes.append(EncodingPass("champion in evaluate", chunks, test))
    return passes


@dataclass(frozen=True)
class RunEstimate:
    """The expected cost of a run; times are for this machine."""

    documents: int
    chunks: int
    words: int
    llm_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    measured_replies: int
    train_rows: int
    train_steps: int
    seconds_per_step: float
    train_seconds: float
    embed_seconds: float
    passes: tuple[EncodingPass, ...]
    device: str
    remarks: tuple[str, ...] = ()  # of ingest

    def rows(self) -> Sequence[tuple[str, str]]:
        """Return the lines to show, each with a label and a value."""
        return (
            ("documents", f"{self.documents:,}"),
            ("chunks", f"{self.chunks:,}"),
            ("words", f"{self.words:,}"),
            ("LLM calls", f"{self.llm_calls:,}"),
            ("prompt tokens (counted on a sample)", f"{self.prompt_tokens:,}"),
            (f"completion tokens ({self._lengths()})", f"{self.completion_tokens:,}"),
            ("price of the LLM calls", self._price()),
            (f"train rows ({KEPT_SHARE:.0%} of the questions kept)", f"{self.train_rows:,}"),
            ("train steps", f"{self.train_steps:,}"),
            (f"training on {self.device} (measured)", duration(self.train_seconds)),
            (f"embedding on {self.device} (measured)", duration(self.embed_seconds)),
            *((f"  {one.what}", f"{one.passages:,} passages, {one.questions:,} questions") for one in self.passes),
        )

    def _lengths(self) -> str:
        return f"measured on {self.measured_replies} replies" if self.measured_replies else "assumed length"

    def _price(self) -> str:
        if self.cost_usd is not None:
            return f"{self.cost_usd:.2f} USD"
        return "unknown: set generate.llm.price_in and generate.llm.price_out"


def estimate_run(job: Job, progress: Progress, sample: int = 0) -> RunEstimate:
    """Ingest the documents, then count and measure.

    Args:
        job: A job whose last stage is ingest.
        progress: Where ingest reports its progress.
        sample: Number of LLM calls to send and measure, besides their judgements; 0: no LLM is called.
    """
    run(job, progress)
    config = job.config
    cache = job.work / "cache"
    calls = estimate_calls(job.work / "chunks", config, job.secrets, cache, sample, progress)
    chunks = pq.read_table(job.work / "chunks" / "chunks.parquet", columns=["chunk_id", "text", "n_words"])
    unique = len(set(chunks["chunk_id"].to_pylist()))
    rows = round(calls.questions * KEPT_SHARE * config.ingest.train_share)
    base = resolve_base(config.contract, config.base, cache, config.storage, job.secrets)
    step_seconds = measure_step_seconds(base, config, max(rows, 1), progress)
    steps = plan_training(max(rows, 1), config.train, config.seed).steps * config.train.seeds
    passes = encoding_passes(config, unique, calls.questions, job.comparisons)
    texts = chunks["text"].to_pylist()
    passage_seconds = seconds_per_passage(base, config.contract, config.runtime, texts, progress)
    return RunEstimate(
        documents=len(pq.read_table(job.work / "chunks" / "documents.parquet", columns=["doc_id"])),
        chunks=unique,
        words=sum(chunks["n_words"].to_pylist()),
        llm_calls=calls.calls,
        prompt_tokens=calls.prompt_tokens,
        completion_tokens=calls.completion_tokens,
        cost_usd=calls.cost_usd if config.generate.prices_known or not calls.calls else None,
        measured_replies=calls.measured,
        train_rows=rows,
        train_steps=steps,
        seconds_per_step=step_seconds,
        train_seconds=step_seconds * steps,
        embed_seconds=passage_seconds * sum(one.as_passages for one in passes),
        passes=tuple(passes),
        device=device_of(config.runtime),
        remarks=read_manifest(job.work / "chunks", "chunks").report.notes,
    )
