"""The hardware: whether model and corpus fit on GPU, memory and disk."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedtune.core.encoders.weights import parameters
from embedtune.core.errors import ConfigError, EmbedtuneError
from embedtune.local.preflight.finding import Finding, IntendedRun
from embedtune.local.preflight.work import nearest_folder

GIB = 1024**3
# Bytes per parameter. Adam (arXiv 1412.6980) keeps two moments; all are float32, whatever the arithmetic is.
TRAINED = 4 + 4 + 8  # weight, gradient, moments
ADAPTED = 4  # with adapters only the weight counts
CHECKPOINT = 4 + 8  # weight and moments
SAVED = 4
KEPT_CHECKPOINTS, WRITTEN_CHECKPOINTS = 2, 3  # the best and the last; while the next is written, one more
# A chunk of 200 to 500 words has about this many bytes of text. Formatted documents have more, so they are
# overestimated.
CHUNK_BYTES = 2_000
COPIES = 4  # of the text on disk: chunks, dataset, passages of the triplets, downloads
BM25_BYTES = 6_000  # per passage, at the peak (ADR 0015)
PROGRAMS = 2 * GIB  # Python, torch and a batch
RECIPE_PARAMETERS, RECIPE_GPU_GIB = 1e9, 75.0


@dataclass(frozen=True)
class Needs:
    """What a run needs, in bytes: at least, which is certain, and about, which includes an estimate of the corpus.

    Args:
        memory: At least, where the model is trained.
        memory_about: For the whole run on a CPU.
        disk: At least.
        disk_about: For the whole run.
        parameters: Number of the model's parameters.
    """

    memory: float
    memory_about: float
    disk: float
    disk_about: float
    parameters: int

    @classmethod
    def of(cls, run: IntendedRun) -> "Needs":
        """Return the needs of a run; a model or documents that are not there need nothing: other checks say so."""
        weights = 0 if isinstance(run.base, EmbedtuneError) else parameters(run.base)
        sizes = run.document_sizes if run.documents and "ingest" in run.stages else ()
        text = 0 if isinstance(sizes, EmbedtuneError) else sum(sizes)
        passages = text / CHUNK_BYTES
        vector = 4 * run.config.contract.dimensions[0]
        trains, adapters = "train" in run.stages, run.config.train.lora is not None
        trained = weights * ((ADAPTED if adapters else TRAINED) if trains else SAVED)
        checkpoint = weights * CHECKPOINT if trains and not adapters else 0
        systems = 2 + (run.comparisons.champion is not None)  # base, tuned, champion
        return cls(
            memory=trained,
            memory_about=PROGRAMS + trained + passages * (BM25_BYTES + 2 * vector) + text,
            disk=KEPT_CHECKPOINTS * checkpoint + SAVED * weights,
            disk_about=GIB / 2
            + WRITTEN_CHECKPOINTS * checkpoint
            + 3 * SAVED * weights
            + COPIES * text
            + systems * passages * vector,
            parameters=weights,
        )


def check_gpu(run: IntendedRun) -> Iterator[Finding]:
    """Compare the GPU with the model.

    Raises:
        ConfigError: There is none although the settings ask for one, or the model does not fit.
    """
    import torch

    runtime = run.config.runtime
    if runtime.device == "cpu" or (runtime.device == "auto" and not torch.cuda.is_available()):
        yield Finding("fine", "GPU", "not used; everything runs on the CPU, which is enough for small models")
        return
    if not torch.cuda.is_available():
        raise ConfigError(
            "there is no GPU here", got="runtime.device=cuda", fix="set runtime.device=auto, or run on a GPU"
        )
    properties = torch.cuda.get_device_properties(0)
    memory = properties.total_memory / GIB
    found = f"{properties.name}, {memory:.0f} GiB, compute capability {properties.major}.{properties.minor}"
    needs = Needs.of(run)
    if needs.memory > properties.total_memory:
        raise ConfigError(
            "the model cannot be trained on this GPU",
            got=found,
            expected=f"at least {needs.memory / GIB:.0f} GiB for its weights, gradients and the optimiser",
            fix="set train.lora, use a smaller base model (--base), or a larger GPU",
        )
    if properties.major < 8:
        fix = "compute capability below 8.0: bf16 is emulated, so runtime.precision=auto is fp32"
        yield Finding("note", "GPU", found, fix)
    elif needs.parameters >= RECIPE_PARAMETERS and memory < RECIPE_GPU_GIB:
        fix = "less memory than the 80 GB of the recipe: lower train.micro_batch_size"
        yield Finding("note", "GPU", found, fix)
    else:
        yield Finding("fine", "GPU", found)


def check_precision(run: IntendedRun) -> Iterator[Finding]:
    """Say which arithmetic the settings mean on this machine."""
    from embedtune.core.encoders.precision import compute_of, device_of, has_bf16

    runtime = run.config.runtime
    compute, device = compute_of(runtime), device_of(runtime)
    found = f"{compute} on {'the GPU' if device == 'cuda' else 'the CPU'}, attention {runtime.attention}"
    if compute == "bf16" and not has_bf16(device):
        yield Finding("note", "precision", found, "bf16 is emulated here, which is slow: runtime.precision=fp32")
    elif compute == "fp32" and device == "cpu" and has_bf16(device):
        yield Finding("fine", "precision", f"{found}; this CPU also computes bf16 (runtime.precision=bf16)")
    else:
        yield Finding("fine", "precision", found)


def check_memory(run: IntendedRun) -> Iterator[Finding]:
    """Compare the memory with model and corpus.

    Raises:
        ConfigError: The model cannot be trained in the memory of this machine.
    """
    from embedtune.core.encoders.precision import device_of

    needs, total, free = Needs.of(run), total_memory(), available_memory()
    on_cpu = device_of(run.config.runtime) == "cpu"
    if on_cpu and needs.memory > total:
        raise ConfigError(
            "the model cannot be trained in the memory of this machine",
            got=f"{total / GIB:.1f} GiB",
            expected=f"at least {needs.memory / GIB:.1f} GiB for its weights, gradients and the optimiser",
            fix="set train.lora, use a smaller base model (--base), or a machine with more memory or a GPU",
        )
    about = needs.memory_about - (0 if on_cpu else needs.memory)
    found = f"{free / GIB:.1f} GiB free; this run needs about {about / GIB:.1f} GiB"
    short = free < about
    yield Finding("note" if short else "fine", "memory", found, "close other programs" if short else "")


def check_disk(run: IntendedRun) -> Iterator[Finding]:
    """Compare the space on disk with model and corpus.

    Raises:
        ConfigError: The checkpoints of the training do not fit.
    """
    if run.work is None:
        return
    needs, folder = Needs.of(run), nearest_folder(run.work)
    free = shutil.disk_usage(folder).free
    if free < needs.disk:
        raise ConfigError(
            "there is too little space on the disk of the work directory",
            got=f"{free / GIB:.1f} GiB free in {folder}",
            expected=f"at least {needs.disk / GIB:.1f} GiB for the checkpoints, and about "
            f"{needs.disk_about / GIB:.1f} GiB for the whole run",
            fix="free some space, or name a work directory on another disk with --work",
        )
    found = f"{free / GIB:.1f} GiB free in {folder}; this run needs about {needs.disk_about / GIB:.1f} GiB"
    if free < needs.disk_about:
        yield Finding("note", "disk", found, "free some space, or use a work directory on another disk")
        return
    yield Finding("fine", "disk", found)


def total_memory() -> int:
    """Return the memory that this process may use: the machine's, or less if its container is limited."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(total, _container_limit() or total)


def available_memory() -> int:
    """Return the available memory; on Linux this includes the page cache, which `SC_AVPHYS_PAGES` leaves out."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    meminfo = Path("/proc/meminfo")
    for line in meminfo.read_text().splitlines() if meminfo.is_file() else ():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    return min(free, _container_limit() or free)


def _container_limit() -> int | None:
    limit = Path("/sys/fs/cgroup/memory.max")  # cgroup v2, as the process sees it
    text = limit.read_text().strip() if limit.is_file() else ""
    return int(text) if text.isdigit() else None
