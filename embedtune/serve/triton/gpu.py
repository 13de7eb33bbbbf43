"""Checks that a TensorRT engine runs on the TensorRT version and GPU generation that built it."""

import subprocess
from collections.abc import Mapping

from embedtune.core.errors import InputError
from embedtune.serve.release.record import ReleaseRecord, short

VERSION_VARIABLE = "TRT_VERSION"  # NVIDIA's images set it
FIX = "export with export.target=tensorrt in the gpu image, on the same kind of GPU as the one that serves"
_QUERY = ("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader")


def require_same_gpu(release: ReleaseRecord, version: str, capability: str | None) -> None:
    """Refuse a TensorRT release that was built for a different TensorRT version or GPU generation.

    Args:
        release: The release.
        version: The TensorRT version of this machine.
        capability: The compute capability of this machine's GPU; None: not known, and not compared.

    Raises:
        InputError: One of the two differs.
    """
    built = str(release.tensorrt_version)
    if any(ours != theirs for ours, theirs in zip(_parts(built), _parts(version), strict=False)):
        raise InputError(
            f"release {short(release.id)} was built for a different TensorRT version",
            got=f"{version} on this machine",
            expected=f"{built}, with which it was built",
            fix=f"{FIX}; that image and triton-gpu contain the same TensorRT",
        )
    if capability is not None and capability != release.compute_capability:
        raise InputError(
            f"release {short(release.id)} was built for a different GPU generation",
            got=f"compute capability {capability} on this machine",
            expected=f"{release.compute_capability}, with which it was built",
            fix=FIX,
        )


def tensorrt_version(environment: Mapping[str, str]) -> str:
    """Return the TensorRT version of this Triton.

    Args:
        environment: Usually `os.environ`.

    Raises:
        InputError: It is not known; an engine built for a different version must not be tried.
    """
    if version := environment.get(VERSION_VARIABLE):
        return version
    raise InputError(
        "the TensorRT version of this Triton is not known",
        expected=f"the variable {VERSION_VARIABLE}, which NVIDIA's images set",
        fix=f"use the triton-gpu image, or set {VERSION_VARIABLE} to the version of its libnvinfer",
    )


def compute_capability() -> str:
    """Return the compute capability of this machine's first GPU, such as 9.0.

    Raises:
        InputError: There is none, or nvidia-smi is missing or fails.
    """
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True, check=False)  # noqa: S603 - a constant
        found, reason = done.stdout.strip() if done.returncode == 0 else "", done.stderr or done.stdout
    except OSError as error:
        found, reason = "", str(error)
    if not found:
        raise InputError(
            "a release for the target tensorrt needs an NVIDIA GPU",
            got=reason.strip() or "nvidia-smi lists none",
            expected="a GPU that nvidia-smi shows",
            fix="add a GPU (in the chart: the value gpus), or export with export.target=python-cpu",
        )
    return found.splitlines()[0].strip()


def count_gpus(environment: Mapping[str, str]) -> int:
    """Return how many GPUs Triton uses: those that the environment names, else all of this machine.

    Args:
        environment: Usually `os.environ`.
    """
    if (named := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return len([one for one in named.split(",") if one.strip()])
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True, check=False)  # noqa: S603 - a constant
    except OSError:  # no nvidia-smi
        return 0
    return len(done.stdout.splitlines()) if done.returncode == 0 else 0


def _parts(version: str) -> list[str]:
    """Return major, minor and patch, as far as they are given; the build (.9, +cuda13.0) is ignored."""
    return version.partition("+")[0].split(".")[:3]
