"""A TensorRT engine runs on the TensorRT version and the GPU generation that built it, and on no other."""

import subprocess
from collections.abc import Mapping
from typing import Any

from embedtune.core.errors import InputError

VERSION_VARIABLE = "TRT_VERSION"  # NVIDIA's images set it
FIX = "export with export.target=tensorrt in the gpu image, on the kind of GPU that serves"
_QUERY = ("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader")


def require_same_gpu(about: Mapping[str, Any], version: str, capability: str | None) -> None:
    """Refuse a TensorRT release that was built for another TensorRT or another GPU generation.

    Args:
        about: What its release.json says.
        version: Of the TensorRT that is here.
        capability: Compute capability of the GPU that is here; None: not known, and not compared.

    Raises:
        InputError: One of the two differs.
    """
    built = str(about["tensorrt_version"])
    if any(ours != theirs for ours, theirs in zip(_parts(built), _parts(version), strict=False)):
        raise InputError(
            f"release {about['id']} was built for another TensorRT",
            got=f"{version} here",
            expected=f"{built}, which built it",
            fix=f"{FIX}; that image and triton-gpu have the same TensorRT",
        )
    if capability is not None and capability != about["compute_capability"]:
        raise InputError(
            f"release {about['id']} was built for another GPU generation",
            got=f"compute capability {capability} here",
            expected=f"{about['compute_capability']}, which built it",
            fix=FIX,
        )


def tensorrt_version(environment: Mapping[str, str]) -> str:
    """Return the version of the TensorRT that this Triton has.

    Args:
        environment: Usually `os.environ`.

    Raises:
        InputError: It does not say: an engine of another version must not be tried.
    """
    if version := environment.get(VERSION_VARIABLE):
        return version
    raise InputError(
        "which TensorRT this Triton has is not known",
        expected=f"the variable {VERSION_VARIABLE}, as NVIDIA's images set it",
        fix=f"use the image triton-gpu, or set {VERSION_VARIABLE} to the version of its libnvinfer",
    )


def compute_capability() -> str:
    """Return the compute capability of this machine's first GPU, as 9.0.

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
            "a release for target tensorrt needs an NVIDIA GPU",
            got=reason.strip() or "nvidia-smi lists none",
            expected="a GPU that nvidia-smi shows",
            fix="give it a GPU (the chart's value gpus), or export with export.target=python-cpu",
        )
    return found.splitlines()[0].strip()


def _parts(version: str) -> list[str]:
    """Return major, minor and patch, as far as they are given; the build (.9, +cuda13.0) does not count."""
    return version.partition("+")[0].split(".")[:3]
