"""What finetune-gpu needs for corpora of some sizes: hours and memory of each task, by measured and assumed rates.

`python -m pipelines.sizing` prints the tables of docs/kubeflow.md. Nothing here was measured on a GPU: its speed
is the share of a card's peak that large matrix products usually reach. The hours are for planning, no promise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import click
from pydantic import JsonValue

from components.parameters import Form, run_config
from embedtune.core.comparisons import Comparisons
from embedtune.core.config.config import Config
from embedtune.local.estimate import KEPT_SHARE, encoding_passes
from embedtune.train.plan import plan_training
from pipelines.resources import NEEDS

GIB, HOUR = 1 << 30, 3600
DOCUMENTS = (1_000, 10_000, 100_000)
CHUNKS_PER_DOCUMENT = 10
ASKED = 100_000  # generate.max_chunks: of a larger corpus, questions are written about so many chunks
PASSAGE_TOKENS, QUESTION_TOKENS = 400, 20
PARAMETERS = 0.97e9  # that a token is multiplied with: the 16 layers of Llama 3.2 1B, without the table of tokens
WEIGHTS_GIB = 1.24e9 * 4 / GIB  # in float32, the table of tokens included
ROW = 8_700  # bytes of a vector of 2,048 numbers in the file of vectors (docs/adr/0023-base-vectors.md)
DIMENSION = 2_048


@dataclass(frozen=True)
class Rate:
    """A rate and where it comes from.

    Args:
        value: The number.
        unit: Its unit.
        measured: Whether it was measured; otherwise it is assumed.
        source: The measurement, or the reason for the assumption.
    """

    value: float
    unit: str
    measured: bool
    source: str


LARGE = "1,000,000 chunks ([Large corpora](experiments.md#large-corpora))"
RATES = {
    "reading documents": Rate(
        180,
        "chunks/s",
        True,
        "872,478 chunks in 4,841 s on one core ([Many documents](experiments.md#many-documents))",
    ),
    "LLM": Rate(10, "calls/s", False, "one vLLM server with a small model; yours decides"),
    "GPU, bf16": Rate(125, "TFLOP/s", False, "40% of an A100's 312; an H100 has about three times as much"),
    "GPU, fp32": Rate(11.7, "TFLOP/s", False, "60% of an A100's 19.5; an H100 has about three times as much"),
    "CPU core, fp32": Rate(
        0.049, "TFLOP/s", True, "512 questions of 19 tokens, all-MiniLM-L6-v2, one thread of a shared Xeon"
    ),
    "search on a core": Rate(0.05, "TFLOP/s", True, f"mine, {LARGE}"),
    "split": Rate(133e-6, "s/chunk", True, LARGE),
    "evaluate on CPUs": Rate(822e-6, "s/chunk", True, f"BM25, reading, metrics: {LARGE}"),
    "network": Rate(100e6, "bytes/s", False, "to download an artifact and check its hash"),
    "export": Rate(1, "h", False, "TensorRT builds of 1B models take tens of minutes"),
}


@dataclass(frozen=True)
class Memory:
    """The peak memory of a task.

    Args:
        chunk_kib: Growth per chunk.
        question_kib: Growth per question: of generate per one that is written, else per one that is kept.
        further_gib: What it takes for a corpus of any size.
        what: Where the first two come from, and what the last one is.
    """

    chunk_kib: float
    question_kib: float
    further_gib: float
    what: str


GPU_RUNTIME_GIB = 4  # assumed: libraries and buffers of PyTorch and CUDA in the memory of the host
ON_GPU = WEIGHTS_GIB + GPU_RUNTIME_GIB  # weights are in the host's memory before they are on the GPU
# bench.scale: one run with 1,000,000 chunks, 100,000 questions and 384 numbers per vector, and three with 4,000 or
# 16,000 chunks, 800 or 4,000 questions and 2,048 numbers (docs/experiments.md, Large corpora). In the small ones
# a block of vectors is the whole corpus, so growth per chunk is from the large one where there is one.
MEMORY = {
    "ingest": Memory(0.4, 0, 1, "measured limit: 1 GB and 400 bytes per chunk"),
    "encode": Memory(4, 0, 2 + ON_GPU, "assumed: every text twice; a block of vectors, model, CUDA"),
    "generate": Memory(15.5, 15.1, 2 + WEIGHTS_GIB, "measured in small corpora; assumed: a block, model"),
    "split": Memory(4.4, 14.5, 0.2, "measured, per question in small corpora"),
    "mine": Memory(
        12, 16.2, 2.6 + ON_GPU, "measured with 384 numbers, computed for 2,048; assumed: a block, model, CUDA"
    ),
    "train": Memory(3.8, 8, 0.2 + ON_GPU + 2 * WEIGHTS_GIB, "measured; assumed: a checkpoint, model, CUDA"),
    "evaluate": Memory(7.4, 8, 2 + ON_GPU, "measured; assumed: a block, model, CUDA"),
    "export": Memory(0, 0, 5 * WEIGHTS_GIB + GPU_RUNTIME_GIB, "assumed: five copies of the weights, CUDA"),
}


@dataclass(frozen=True)
class Corpus:
    """The numbers that a run's time and memory depend on.

    Args:
        documents: Number of documents, each of `CHUNKS_PER_DOCUMENT` chunks.
        config: The configuration of the preset of finetune-gpu.
    """

    documents: int
    config: Config

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return self.documents * CHUNKS_PER_DOCUMENT

    @property
    def asked(self) -> int:
        """Number of chunks that questions are written about."""
        return min(self.chunks, self.config.generate.max_chunks or self.chunks)

    @property
    def calls(self) -> int:
        """Number of LLM calls: each reply is judged."""
        return round(2 * self.asked * (1 + self.config.generate.bundles_per_chunk))

    @property
    def questions(self) -> int:
        """Number of questions that are written."""
        its = self.config.generate
        return round(self.asked * (its.questions_per_chunk + its.bundles_per_chunk * its.questions_per_bundle))

    @property
    def kept(self) -> int:
        """Number of questions that judge and filters keep."""
        return round(self.questions * KEPT_SHARE)

    @property
    def rows(self) -> int:
        """Number of questions to train on."""
        return round(self.kept * self.config.ingest.train_share)


def seconds(corpus: Corpus) -> dict[str, float]:
    """Return how long each task takes."""
    rate = {name: one.value for name, one in RATES.items()}
    cores = {name: need.cpu for name, need in NEEDS["gpu"].items()}
    config, chunks = corpus.config, corpus.chunks
    passage, question = (2 * PARAMETERS * tokens / 1e12 for tokens in (PASSAGE_TOKENS, QUESTION_TOKENS))  # TFLOP
    base, dev, tuned = encoding_passes(config, chunks, corpus.questions, Comparisons())
    download = chunks * ROW * 2 / rate["network"]  # in two precisions

    def search(task: str, pairs: float, dimensions: int = DIMENSION) -> float:
        return pairs * 2 * dimensions / 1e12 / (rate["search on a core"] * cores[task])

    compared = corpus.asked * chunks + corpus.kept * chunks + corpus.questions**2 / 2  # bundles, ranks, duplicates
    steps = plan_training(corpus.rows, config.train, config.seed)
    # Forward 1, backward 2, and the forward pass again, since activations are not kept (gradient checkpointing).
    trained = 4 * steps.steps * steps.batch_size * (question + (1 + config.train.negatives) * passage)
    return {
        "ingest": chunks / rate["reading documents"],
        "encode": base.passages * passage * (1 / rate["GPU, fp32"] + 1 / rate["GPU, bf16"]),
        "generate": corpus.calls / rate["LLM"]
        + corpus.questions * question / (rate["CPU core, fp32"] * cores["generate"])
        + search("generate", compared)
        + download,
        "split": chunks * rate["split"],
        "mine": corpus.rows * question / rate["GPU, bf16"] + search("mine", corpus.rows * chunks) + download,
        "train": (trained + dev.as_passages * passage) / rate["GPU, bf16"]
        + search("train", dev.questions * chunks)
        + download,
        "evaluate": tuned.as_passages * passage / rate["GPU, bf16"]
        + search("evaluate", 2 * tuned.questions * chunks, sum(config.contract.dimensions))
        + chunks * rate["evaluate on CPUs"]
        + download,
        "export": rate["export"] * HOUR,
    }


def memory_gib(corpus: Corpus) -> dict[str, float]:
    """Return the memory that each task takes at its peak."""
    questions = dict.fromkeys(MEMORY, corpus.kept) | {"generate": corpus.questions}
    return {
        name: one.further_gib + (one.chunk_kib * corpus.chunks + one.question_kib * questions[name]) * 1024 / GIB
        for name, one in MEMORY.items()
    }


def corpora() -> list[Corpus]:
    """Return the corpora of the table, with the default configuration of finetune-gpu."""
    settings: dict[str, JsonValue] = {"contract.revision": "a" * 40, "generate.max_chunks": ASKED}
    config = run_config(Form("llama-embed-1b", overrides=settings))
    return [Corpus(documents, config) for documents in DOCUMENTS]


def tables() -> str:
    """Return what each task needs and the rates behind it, as Markdown."""
    columns = corpora()
    lines = [
        "| | " + " | ".join(f"{one.documents:,} documents" for one in columns) + " | requested |",
        "|---" * (len(columns) + 2) + "|",
        *_counts(columns),
    ]
    hours, memory = [seconds(one) for one in columns], [memory_gib(one) for one in columns]
    for name in MEMORY:
        need = NEEDS["gpu"][name]
        cells = [f"{_time(h[name])}, {math.ceil(m[name])} GiB" for h, m in zip(hours, memory, strict=True)]
        where = f"{need.cpu:g} {'core' if need.cpu == 1 else 'cores'}" + (", one GPU" if need.gpu else "")
        lines.append(f"| **{name}** | {' | '.join(cells)} | {need.hours} h, {need.memory_gib} GiB, {where} |")
    lines += ["", "| rate | value | | from |", "|---|---|---|---|"]
    for name, rate in RATES.items():
        kind = "measured" if rate.measured else "assumed"
        lines.append(f"| {name} | {rate.value:g} {rate.unit} | {kind} | {rate.source} |")
    lines += ["", "| memory of | per chunk | per question | in addition | from |", "|---|---|---|---|---|"]
    for name, one in MEMORY.items():
        grows = f"{one.chunk_kib:g} KiB | {one.question_kib:g} KiB"
        lines.append(f"| {name} | {grows} | {one.further_gib:.1f} GiB | {one.what} |")
    return "\n".join(lines) + "\n"


def _counts(columns: Sequence[Corpus]) -> list[str]:
    rows: dict[str, Sequence[float]] = {
        "chunks": [one.chunks for one in columns],
        "LLM calls": [one.calls for one in columns],
        "questions written": [one.questions for one in columns],
        "rows to train on": [one.rows for one in columns],
        "GB of base vectors": [round(2 * one.chunks * ROW / 1e9, 1) for one in columns],
    }
    return [f"| {name} | {' | '.join(f'{value:,}' for value in values)} | |" for name, values in rows.items()]


def _time(value: float) -> str:
    """Return seconds as hours, or as minutes if there are few."""
    return f"{value / HOUR:.1f} h" if value >= HOUR / 2 else f"{math.ceil(value / 60)} min"


@click.command()
def main() -> None:
    """Print the tables of docs/kubeflow.md."""
    click.echo(tables(), nl=False)


if __name__ == "__main__":
    main()
