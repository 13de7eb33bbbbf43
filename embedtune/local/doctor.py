"""Checks whether this machine is ready for a run; reports what was found and how to fix what is wrong."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from embedtune.core.config.config import Config
from embedtune.core.config.generate import GenerateSettings, LLMEndpointSettings
from embedtune.core.config.machine import RuntimeSettings
from embedtune.core.encoders.base_model import resolve_base
from embedtune.core.encoders.precision import compute_of, device_of, has_bf16
from embedtune.core.encoders.pytorch import TorchEncoder
from embedtune.core.errors import EmbedtuneError
from embedtune.core.progress import SilentProgress
from embedtune.core.secrets import Secrets
from embedtune.generate.question_slots import require_known_labels
from embedtune.generate.reply_source import judge_settings, recording_path
from embedtune.generate.trial import trial_requests
from embedtune.llm.client import LLMRequest
from embedtune.llm.errors import ItemError
from embedtune.llm.probe import probe_llm_endpoint

GIB = 1024**3
MIN_DISK_GIB = 5.0
# Weights, gradients and two Adam moments in fp32, and the same amount again for activations.
TRAINING_COPIES = 8
RECIPE_GPU_GIB = 75.0


@dataclass(frozen=True)
class Finding:
    """The result of one check: what was checked, what was found, and how to fix it."""

    status: Literal["fine", "note", "wrong"]
    checked: str
    found: str
    fix: str = ""


def examine(config: Config, secrets: Secrets, work: Path) -> list[Finding]:
    """Check the base model, the LLM endpoints, GPU, memory and disk for a configuration.

    Args:
        config: The configuration that a run would use.
        secrets: Credentials of the LLM endpoints and of the object store.
        work: Directory that the run would write to.
    """
    findings, weights = _check_model(config, secrets, work)
    findings += _check_endpoints(config.generate, secrets)
    findings += [_check_gpu(config.runtime), _check_precision(config.runtime)]
    findings += [_check_memory(weights), _check_disk(work, weights)]
    return findings


def _check_model(config: Config, secrets: Secrets, work: Path) -> tuple[list[Finding], int]:
    name = config.contract.base_model
    try:
        path = resolve_base(config.contract, config.base, work / "cache", config.storage, secrets)
        encoder = TorchEncoder(path, config.contract, config.runtime)
        shape = encoder.encode_queries(["ready?"], SilentProgress()).shape
    except EmbedtuneError as error:
        return [Finding("wrong", "base model", f"{error.what}: {error.got or name}", error.fix or "")], 0
    weights = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    found = f"{name}, {weights / 1e6:.0f} MB, {shape[1]} dimensions"
    return [Finding("fine", "base model", found)], weights


def _check_endpoints(settings: GenerateSettings, secrets: Secrets) -> list[Finding]:
    if settings.recording is not None:
        try:
            recording_path(settings)
        except EmbedtuneError as error:
            return [Finding("wrong", "recording", f"{error.what}: {error.got}", error.fix or "")]
        return [Finding("note", "LLM endpoint", f"not used: the recording {settings.recording} is replayed")]
    try:
        require_known_labels(settings)
    except EmbedtuneError as error:
        return [Finding("wrong", "generator", _in_words(error), error.fix or "")]
    own_judge = settings.judge is not None
    write, judge = trial_requests(settings)
    judge_key = secrets.judge_api_key if own_judge else secrets.llm_api_key
    generator = _Trial("generator", "generate.llm", settings.llm, secrets.llm_api_key, write)
    section = "generate.judge" if own_judge else "generate.llm"
    return [
        _check_endpoint(generator),
        _check_endpoint(_Trial("judge", section, judge_settings(settings), judge_key, judge)),
    ]


@dataclass(frozen=True)
class _Trial:
    """A request of the run, and the LLM endpoint that it is sent to."""

    role: str
    section: str
    settings: LLMEndpointSettings
    key: str | None = field(repr=False)
    request: LLMRequest[BaseModel]


def _check_endpoint(trial: _Trial) -> Finding:
    settings, role = trial.settings, trial.role
    if settings.batch == "files":
        return Finding("note", role, f"not tested: {settings.model} answers files of requests")
    try:
        report = probe_llm_endpoint(settings, trial.key, [trial.request], trial.section)
    except ItemError as error:
        found = f"{settings.model} at {settings.base_url}: {_in_words(error)}"
        return Finding("wrong", role, found, error.fix or "check the log of the server, or use another model")
    except EmbedtuneError as error:
        return Finding("wrong", role, _in_words(error), error.fix or "")
    found = f"{settings.model} at {settings.base_url}: {report.tokens_per_s or 0:.0f} tokens/s"
    if not report.json_schema:
        return Finding(
            "note",
            role,
            f"{found}; does not enforce JSON schemas ({report.form})",
            "usable: the schema goes into the prompt, and more replies need repair; "
            "a server with guided decoding is better",
        )
    return Finding("fine", role, f"{found}; enforces JSON schemas ({report.form})")


def _in_words(error: EmbedtuneError) -> str:
    return f"{error.what}{f' ({error.got})' if error.got else ''}"


def _check_precision(runtime: RuntimeSettings) -> Finding:
    compute, device = compute_of(runtime), device_of(runtime)
    found = f"{compute} on {'the GPU' if device == 'cuda' else 'the CPU'}, attention {runtime.attention}"
    if compute == "bf16" and not has_bf16(device):
        return Finding("note", "precision", found, "bf16 is emulated here, which is slow: runtime.precision=fp32")
    if compute == "fp32" and device == "cpu" and has_bf16(device):
        return Finding("fine", "precision", f"{found}; this CPU also computes bf16 (runtime.precision=bf16)")
    return Finding("fine", "precision", found)


def _check_gpu(runtime: RuntimeSettings) -> Finding:
    import torch

    if not torch.cuda.is_available():
        status: Literal["note", "wrong"] = "wrong" if runtime.device == "cuda" else "note"
        return Finding(
            status, "GPU", "none; everything runs on the CPU", "sufficient for MiniLM; a 1B model needs a GPU"
        )
    properties = torch.cuda.get_device_properties(0)
    memory = properties.total_memory / GIB
    found = f"{properties.name}, {memory:.0f} GiB, compute capability {properties.major}.{properties.minor}"
    if properties.major < 8:
        return Finding(
            "note",
            "GPU",
            found,
            "compute capability below 8.0: bf16 is emulated, so runtime.precision=auto is fp32",
        )
    if memory < RECIPE_GPU_GIB:
        return Finding(
            "note", "GPU", found, "less memory than the 80 GB of the recipe: lower train.micro_batch_size"
        )
    return Finding("fine", "GPU", found)


def _check_memory(weights: int) -> Finding:
    available = _available_bytes() / GIB
    needed = 2.0 + TRAINING_COPIES * weights / GIB
    found = f"{available:.1f} GiB free; training on the CPU needs about {needed:.1f} GiB"
    if available < needed:
        return Finding("note", "memory", found, "close other programs, or train on a GPU")
    return Finding("fine", "memory", found)


def _available_bytes() -> int:
    """Return the available memory; on Linux this includes the page cache, which `SC_AVPHYS_PAGES` leaves out."""
    meminfo = Path("/proc/meminfo")
    for line in meminfo.read_text().splitlines() if meminfo.is_file() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _check_disk(work: Path, weights: int) -> Finding:
    folder = work.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GIB
    needed = MIN_DISK_GIB + TRAINING_COPIES * weights / GIB
    found = f"{free:.0f} GiB free in {folder}; a run needs about {needed:.0f} GiB"
    if not os.access(folder, os.W_OK):
        return Finding("wrong", "disk", f"{folder} is not writable", "choose another --work directory")
    if free < needed:
        return Finding("wrong", "disk", found, "free some space, or choose another --work directory")
    return Finding("fine", "disk", found)
